"""Read what a video file says about itself and OpenCV doesn't give: its tracks, its edit list, its length in bytes."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_MEDIA_BOXES = (b"ftyp", b"moov", b"mdat", b"moof", b"wide", b"free", b"skip", b"styp", b"sidx")
_MOVIE = 1 << 24  # bytes of an index that are looked at
_ASF_VIDEO = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")  # the stream type "video" of ASF
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_HEAD = 1 << 16


class Container(NamedTuple):
    """Facts about a video file.

    Attributes:
      bytes_there, bytes_promised: its length, and the one that its own header gives (0 where it gives none).
      has_video: False of a file that says which tracks it has, none of them a video; True also where it isn't known.
      edited_seconds: how long the edit list of its video track says it is; None without one.
      counts_frames: the container stores a number of frames, where others are estimated from their duration.
    """

    bytes_there: int
    bytes_promised: int = 0
    has_video: bool = True
    edited_seconds: float | None = None
    counts_frames: bool = False

    @property
    def truncated(self) -> str:
        """ "truncated (there are 5,000 of 26,728 bytes)"; empty of a file that is all there."""
        if self.bytes_there >= self.bytes_promised:
            return ""
        return f"truncated (there are {self.bytes_there:,} of {self.bytes_promised:,} bytes)"


def read_container(path: Path) -> Container:
    """Read the headers of an MP4 or MOV, AVI, Matroska or WebM, FLV or ASF; other files have facts that aren't known.

    Raises:
      OSError: it can't be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if head[4:8] in _MEDIA_BOXES:
            return _iso_media(file, size)
        if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            return Container(size, _riff_end(file, size), counts_frames=True)
    if head[:4] == _EBML:
        return Container(size, _segment_end(head), has_video=b"V_" in head or b"A_" not in head)
    if head[:3] == b"FLV":
        return Container(size, has_video=bool(head[4] & 1) or not head[4] & 4)
    if head[:4] == b"\x30\x26\xb2\x75":
        return Container(size, has_video=_ASF_VIDEO in head)
    return Container(size)


def _iso_media(file: BinaryIO, size: int) -> Container:
    """ISO 14496-12: boxes of a length, a type of four letters, and their content."""
    end, movie = 0, b""
    for kind, start, stop in _file_boxes(file, size):
        if kind not in _MEDIA_BOXES:  # what is appended to a video is none of ours
            continue
        end = max(end, stop)
        if kind == b"moov" and stop <= size:
            file.seek(start)
            movie = file.read(min(stop - start, _MOVIE))
    tracks = [track for kind, track in boxes(movie) if kind == b"trak"]
    video = next((track for track in tracks if _handler(track) == b"vide"), None)
    seconds = _edited_seconds(movie, video) if video else None
    return Container(size, end, has_video=bool(video) or not tracks, edited_seconds=seconds, counts_frames=True)


def _file_boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each box at the top, and where its content begins and should end."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, start = int.from_bytes(head[:4]), at + 8
        if length == 1:
            length, start = int.from_bytes(head[8:16]), at + 16
        stop = size if length == 0 else at + length
        if stop < start:
            return
        yield head[4:8], start, stop
        at = stop


def boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the boxes inside a box: type and content; ends where they make no sense."""
    at = 0
    while at + 8 <= len(content):
        length = int.from_bytes(content[at : at + 4])
        if length < 8:
            return
        yield content[at + 4 : at + 8], content[at + 8 : at + length]
        at += length


def _inside(content: bytes, *kinds: bytes) -> bytes:
    """Return the content of the first box at a path of types; empty if there is none."""
    for kind in kinds:
        content = next((inner for name, inner in boxes(content) if name == kind), b"")
    return content


def _handler(track: bytes) -> bytes:
    return _inside(track, b"mdia", b"hdlr")[8:12]


def _edited_seconds(movie: bytes, track: bytes) -> float | None:
    """Return the lengths of the edits that show something, together; editors and phones trim a video in this way."""
    header, edits = _inside(movie, b"mvhd"), _inside(track, b"edts", b"elst")
    long = bool(header[:1] == b"\1")
    timescale = int.from_bytes(header[20:24] if long else header[12:16])
    width = 8 if edits[:1] == b"\1" else 4
    total = 0
    for at in range(8, len(edits) - 2 * width - 3, 2 * width + 4):
        media_time = int.from_bytes(edits[at + width : at + 2 * width], signed=True)
        total += int.from_bytes(edits[at : at + width]) if media_time >= 0 else 0
    return total / timescale if total and timescale else None


def _riff_end(file: BinaryIO, size: int) -> int:
    """Large AVI files are several RIFF chunks, one after the other; a recording that was killed says 0."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(8)
        length = int.from_bytes(head[4:8], "little")
        if head[:4] != b"RIFF" or length in (0, 0xFFFFFFFF):
            return at
        at += 8 + length
    return at


def _segment_end(head: bytes) -> int:
    """Return where the segment of a Matroska file should end; 0 where a live recording left that open."""
    at = head.find(_SEGMENT)
    if at < 0 or at + 5 > len(head):
        return 0
    at += 4
    width = 9 - head[at].bit_length()
    length = int.from_bytes(head[at : at + width]) & ((1 << 7 * width) - 1)
    return 0 if width > 8 or length == (1 << 7 * width) - 1 else at + width + length
