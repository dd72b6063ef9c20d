"""Recognize a file by its first bytes, never by its suffix."""

import re
from typing import NamedTuple

HEAD_BYTES = 4096


class MediaType(NamedTuple):
    """kind: "image", "video", "audio", "text", "empty" or "other"; name: the format, as a message names it."""

    kind: str
    name: str


UNKNOWN = MediaType("other", "not an image or video")
# (offset, bytes, type); the first match counts.
_MAGIC: tuple[tuple[int, bytes, MediaType], ...] = (
    (0, b"\xff\xd8\xff", MediaType("image", "JPEG")),
    (0, b"\x89PNG\r\n\x1a\n", MediaType("image", "PNG")),
    (0, b"GIF87a", MediaType("image", "GIF")),
    (0, b"GIF89a", MediaType("image", "GIF")),
    (0, b"II*\0", MediaType("image", "TIFF")),
    (0, b"MM\0*", MediaType("image", "TIFF")),
    (0, b"II+\0", MediaType("image", "BigTIFF")),
    (0, b"MM\0+", MediaType("image", "BigTIFF")),
    (0, b"\0\0\0\x0cjP  ", MediaType("image", "JPEG 2000")),
    (0, b"\xff\x4f\xff\x51", MediaType("image", "JPEG 2000")),
    (0, b"\0\0\0\x0cJXL ", MediaType("image", "JPEG XL")),
    (0, b"\xff\x0a", MediaType("image", "JPEG XL")),
    (0, b"\0\0\1\0", MediaType("image", "ICO")),
    (0, b"8BPS", MediaType("image", "PSD")),
    (0, b"qoif", MediaType("image", "QOI")),
    (0, b"DDS ", MediaType("image", "DDS")),
    (0, b"\x59\xa6\x6a\x95", MediaType("image", "Sun raster")),
    (0, b"\x01\xda\x00\x01", MediaType("image", "SGI")),
    (0, b"\x01\xda\x01\x01", MediaType("image", "SGI")),
    (0, b"\x1a\x45\xdf\xa3", MediaType("video", "Matroska")),
    (0, b"FLV\x01", MediaType("video", "FLV")),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", MediaType("video", "ASF")),
    (0, b"\0\0\1\xba", MediaType("video", "MPEG")),
    (0, b"\0\0\1\xb3", MediaType("video", "MPEG")),
    (0, b"\0\0\0\1\x67", MediaType("video", "H.264")),
    (0, b"\0\0\1\x67", MediaType("video", "H.264")),
    (0, b"DKIF", MediaType("video", "IVF")),
    (0, b"YUV4MPEG2", MediaType("video", "Y4M")),
    (0, b"\x06\x0e\x2b\x34", MediaType("video", "MXF")),
    (0, b".RMF", MediaType("video", "RealMedia")),
    (0, b"ID3", MediaType("audio", "MP3")),
    (0, b"fLaC", MediaType("audio", "FLAC")),
    (0, b"caff", MediaType("audio", "CAF")),
    (0, b".snd", MediaType("audio", "AU")),
    (0, b"wvpk", MediaType("audio", "WavPack")),
    (0, b"MAC ", MediaType("audio", "APE")),
    (0, b"#!AMR", MediaType("audio", "AMR")),
    (0, b"MThd", MediaType("audio", "MIDI")),
    (0, b"RF64", MediaType("audio", "WAV")),
    (0, b"PK\x03\x04", MediaType("other", "a zip archive")),
    (0, b"PK\x05\x06", MediaType("other", "an empty zip archive")),
    (0, b"Rar!\x1a\x07", MediaType("other", "a RAR archive")),
    (0, b"7z\xbc\xaf\x27\x1c", MediaType("other", "a 7z archive")),
    (0, b"\x1f\x8b", MediaType("other", "a gzip archive")),
    (0, b"BZh", MediaType("other", "a bzip2 archive")),
    (0, b"\xfd7zXZ\0", MediaType("other", "an xz archive")),
    (0, b"\x28\xb5\x2f\xfd", MediaType("other", "a zstd archive")),
    (257, b"ustar", MediaType("other", "a tar archive")),
    (0, b"PAR1", MediaType("other", "a Parquet table")),
    (0, b"ARROW1", MediaType("other", "an Arrow table")),
    (0, b"\x89HDF\r\n\x1a\n", MediaType("other", "an HDF5 file")),
    (0, b"SQLite format 3\0", MediaType("other", "an SQLite database")),
    (0, b"\x93NUMPY", MediaType("other", "a NumPy array")),
    (0, b"\0\x05\x16\x07", MediaType("other", "metadata of macOS")),
    (0, b"%PDF", MediaType("other", "a PDF")),
    (0, b"%!PS", MediaType("other", "a PostScript program")),
    (0, b"MZ", MediaType("other", "a Windows program")),
    (0, b"\x7fELF", MediaType("other", "a program")),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", MediaType("other", "an Office document")),
)
_RIFF = {b"WEBP": ("image", "WebP"), b"AVI ": ("video", "AVI"), b"WAVE": ("audio", "WAV")}
_MOV_BOXES = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"moof", b"styp")
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_AVIF = {b"avif", b"avis"}
_AUDIO_BRANDS = {b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"aax ", b"aaxc"}
_PNM = re.compile(rb"P(?:[1-6]\s+(?:#|\d)|7\s+(?:#|WIDTH|HEIGHT|DEPTH|MAXVAL|TUPLTYPE)|[Ff]\s+\d)")
_TEXTS = (
    (re.compile(rb"version https://git-lfs"), "a Git LFS pointer; run git lfs pull"),
    (
        re.compile(rb"(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*(?:<!doctype svg[^>]*>\s*)?<svg", re.I | re.S),
        "an SVG drawing",
    ),
    (re.compile(rb"(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype )?html", re.I | re.S), "a web page"),
)
_CONTROL = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")
_ZERO_SHOWN = 16


def identify(head: bytes) -> MediaType:
    """Return the type of a file that begins with these bytes; HEAD_BYTES of them are enough."""
    if not head:
        return MediaType("empty", "an empty file")
    for offset, magic, found in _MAGIC:
        if head.startswith(magic, offset):
            return found
    return _container(head) or _bitmap(head) or _text(head) or _sound(head) or _transport_stream(head) or _unknown(head)


def _container(head: bytes) -> MediaType | None:
    """ISO base media (MP4, MOV, HEIC, AVIF), RIFF, Ogg and AIFF: what is inside is named behind their magic."""
    if head[4:8] == b"ftyp":
        return _iso_media(head)
    if head[4:8] in _MOV_BOXES:
        return MediaType("video", "MOV")
    if head[:4] in (b"RIFF", b"RIFX"):
        return MediaType(*_RIFF.get(head[8:12], ("other", "a RIFF file")))
    if head[:4] == b"OggS":
        moving = b"theora" in head[:512] or b"fishead" in head[:512]
        return MediaType("video" if moving else "audio", "Ogg")
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return MediaType("audio", "AIFF")
    return None


def _iso_media(head: bytes) -> MediaType:
    """Recognise it by the brands of the file type box: the major one, and the compatible ones from byte 16 on (ISO
    14496-12)."""
    end = max(int.from_bytes(head[:4]), 16)
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, min(end, len(head)), 4))]
    if brands[0] in _AUDIO_BRANDS:
        return MediaType("audio", "M4A")
    if brands[0] == b"crx ":
        return MediaType("other", "a camera's raw file; export it as JPEG")
    still = brands[0] in _HEIC | _AVIF or brands[0] in (b"mif1", b"msf1", b"miaf")
    if still and _AVIF & set(brands):
        return MediaType("image", "AVIF")
    return MediaType("image", "HEIC") if still else MediaType("video", "MP4")


def _bitmap(head: bytes) -> MediaType | None:
    """BMP and PNM, whose magic of two letters begins many texts, too."""
    if head[:2] == b"BM" and len(head) >= 18 and 12 <= int.from_bytes(head[14:18], "little") <= 124:
        return MediaType("image", "BMP")
    return MediaType("image", "PNM") if _PNM.match(head) else None


def _sound(head: bytes) -> MediaType | None:
    """Recognise the sync word of MPEG audio and a header that can be (ISO 11172-3: bit rate 15 and sampling rate 3
    can't)."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        return MediaType("audio", "AAC")
    valid = head[1] & 0x18 != 0x08 and head[1] & 0x06 and head[2] >> 4 not in (0, 15) and head[2] & 0x0C != 0x0C
    return MediaType("audio", "MP3") if valid else None


def _text(head: bytes) -> MediaType | None:
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):  # UTF-16
        return MediaType("text", "text")
    plain = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _CONTROL.search(plain):
        return None
    return MediaType("text", next((name for pattern, name in _TEXTS if pattern.match(plain)), "text"))


def _transport_stream(head: bytes) -> MediaType | None:
    """Packets of 188 bytes that begin with 0x47, of 192 in M2TS, of 204 with error correction; maybe cut anywhere."""
    for step in (188, 192, 204):
        for first in range(min(step, len(head))):
            marks = head[first::step]
            if len(marks) >= 3 and marks == b"\x47" * len(marks):
                return MediaType("video", "MPEG-TS")
    return None


def _unknown(head: bytes) -> MediaType:
    if not head.strip(b"\0") and len(head) >= _ZERO_SHOWN:
        return MediaType("other", "nothing but zeros; fetch it again")
    return UNKNOWN
