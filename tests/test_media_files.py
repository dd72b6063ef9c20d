"""Files below a folder: litter, content instead of suffixes, links in circles, names of another encoding."""

import io
import os
import struct
import subprocess
import sys
import tarfile
import wave
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from expressnet_jax.data.media_files import find_media, is_litter, media_kind, missing
from expressnet_jax.data.media_types import identify
from expressnet_jax.errors import printable

NOISE = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)


def saved(format: str, mode: str = "RGB", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(NOISE).convert(mode).save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("format", "mode"),
    [
        *[(name, "RGB") for name in ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM", "ICO", "JPEG2000", "QOI", "AVIF")],
        *[("GIF", "P"), ("PPM", "L"), ("PPM", "1"), ("JPEG", "CMYK"), ("SGI", "L")],
    ],
)
def test_what_pillow_writes_is_an_image(format, mode):
    if format == "AVIF" and ".avif" not in Image.registered_extensions():
        pytest.skip("this Pillow writes no AVIF")
    content = saved(format, mode)
    assert media_kind(content) == "image"
    assert media_kind(content[:64]) == "image"


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "mp4v"), (".avi", "MJPG"), (".mkv", "MJPG"), (".ts", "mp4v")])
def test_what_opencv_writes_is_a_video(tmp_path, suffix, codec):
    path = tmp_path / f"clip{suffix}"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), 10, (64, 64))
    for _ in range(5):
        writer.write(np.tile(NOISE, (3, 3, 1))[:64, :64])
    writer.release()
    unnamed = path.rename(tmp_path / "clip.jpg")
    assert media_kind(unnamed) == "video"


def wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(200))
    return file.getvalue()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.jpg", saved("JPEG"))
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.jpg"))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "kind", "name"),
    [
        (struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic", "image", "HEIC"),
        (struct.pack(">I", 28) + b"ftypmif1\0\0\0\0mif1avifmiaf", "image", "AVIF"),
        (struct.pack(">I", 24) + b"ftypisom\0\0\0\0isommp41", "video", "MP4"),
        (struct.pack(">I", 20) + b"ftypqt  \0\0\0\0qt  ", "video", "MP4"),
        (struct.pack(">I", 24) + b"ftypM4A \0\0\0\0M4A isom", "audio", "M4A"),
        (struct.pack(">I", 8) + b"wide" + bytes(8), "video", "MOV"),
        ((b"\x47" + bytes(187)) * 8, "video", "MPEG-TS"),
        (bytes(50) + (b"\x47" + bytes(187)) * 8, "video", "MPEG-TS"),  # cut in the middle of a packet
        ((bytes(4) + b"\x47" + bytes(187)) * 8, "video", "MPEG-TS"),  # M2TS, .mts of camcorders
        (b"\0\0\1\xba" + bytes(100), "video", "MPEG"),
        (b"FLV\x01\x05" + bytes(30), "video", "FLV"),
        (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "video", "ASF"),
        (wav(), "audio", "WAV"),
        (b"fLaC" + bytes(30), "audio", "FLAC"),
        (b"ID3\4" + bytes(30), "audio", "MP3"),
        (b"\xff\xfb\x90\x00" + bytes(30), "audio", "MP3"),
        (b"OggS\0\2" + bytes(22) + b"OpusHead", "audio", "Ogg"),
        (b"OggS\0\2" + bytes(22) + b"\x80theora", "video", "Ogg"),
        (b"notes about P5 and BM\n", "text", "text"),
        (b"P2P is a protocol", "text", "text"),
        (b"BMW, 3 series, of which nobody has an image", "text", "text"),
        ("照片 一\n".encode("gbk"), "text", "text"),
        ("photo".encode("utf-16"), "text", "text"),
        (b"G" * 4096, "text", "text"),
        (b"<!DOCTYPE html><html>404", "text", "a web page"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "text", "an SVG drawing"),
        (b"version https://git-lfs.github.com/spec/v1\n", "text", "a Git LFS pointer; run git lfs pull"),
        (zipped(), "other", "a zip archive"),
        (tarred(), "other", "a tar archive"),
        (b"%PDF-1.7", "other", "a PDF"),
        (b"\0\5\26\7\0\2\0\0", "other", "metadata of macOS"),
        (bytes(4096), "other", "nothing but zeros; fetch it again"),
        (b"\x80\x00\x01\x02", "other", "not an image or video"),
        (b"", "empty", "an empty file"),
    ],
)
def test_content_decides(content, kind, name):
    assert identify(content) == (kind, name)


@pytest.mark.parametrize(
    "name",
    [
        *("._a.jpg", ".DS_Store", ".ipynb_checkpoints/a-checkpoint.jpg", ".Trash/a.jpg", ".Trashes/501/a.jpg"),
        *(".thumbnails/a.jpg", ".Spotlight-V100/x", "@eaDir/a.jpg/SYNOFILE_THUMB_M.jpg", "#recycle/a.jpg"),
        *("__MACOSX/happy/a.jpg", "Thumbs.db", "thumbs.DB", "ehthumbs.db", "Desktop.ini", "$RECYCLE.BIN/a.jpg"),
        *("System Volume Information/x", "lost+found/a.jpg", "a.jpg.part", "a.jpg.crdownload", "a.tmp", "a.jpg~"),
        *("a.jpg.filepart", "a.jpg.!qB", "a.jpg.bc!", "_gsdata_/a.jpg"),
    ],
)
def test_litter_at_any_depth(tmp_path, name):
    root = tmp_path / ".cache" / "@eaDir"  # the root is what the user named, whatever it is called
    for path in (root / name, root / "happy" / name, root / "happy" / "deeper" / name):
        assert is_litter(path, root)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(saved("JPEG"))
    kept = root / "happy" / "a.jpg"
    kept.write_bytes(saved("JPEG"))
    found = find_media(root)
    assert [file.path for file in found.files] == [kept] and not found.left_out and found.litter == 3


def test_an_image_is_no_litter(tmp_path):
    names = (
        "a.jpg",
        "a",
        "partial.jpg",
        "tmp.png",
        "part/a.jpg",
        "a.b.jpg",
        "@home.jpg",
        "template.webp",
        "thumbs.jpg",
    )
    assert not [name for name in names if is_litter(tmp_path / name, tmp_path)]
    assert not is_litter(tmp_path, tmp_path)


def test_every_file_is_counted_once(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.txt").write_bytes(saved("PNG"))
    (tmp_path / "b" / "1").write_bytes(saved("JPEG"))
    (tmp_path / "a.jpg").write_text("no image")
    (tmp_path / "c.jpg").write_bytes(b"")
    (tmp_path / "sound.jpg").write_bytes(wav())
    (tmp_path / ".DS_Store").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    found = find_media(tmp_path)
    names = lambda paths: [path.relative_to(tmp_path).as_posix() for path in paths]
    assert names(file.path for file in found.files) == ["b/1", "b/2.txt", "sound.jpg"]
    assert dict(zip(names(found.left_out), found.left_out.values(), strict=True)) == {
        "a.jpg": "text",
        "b/up": "a link to a folder that it lies in",
        "c.jpg": "an empty file",
        "gone.jpg": "a broken link",
        "pipe.jpg": "not a file",
        "self.jpg": "a broken link",
    }
    assert found.litter == 1
    images = found.only("image")
    assert names(file.path for file in images.files) == ["b/1", "b/2.txt"]
    assert images.left_out[tmp_path / "sound.jpg"] == "sound"


def test_links_to_folders_are_followed(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a.jpg").write_bytes(saved("JPEG"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "happy").symlink_to(tmp_path / "store")
    assert [file.path for file in find_media(tmp_path / "data").files] == [tmp_path / "data" / "happy" / "a.jpg"]


def test_what_may_not_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    (tmp_path / "a.jpg").write_bytes(saved("JPEG"))
    (tmp_path / "b.jpg").write_bytes(saved("JPEG"))
    scandir, denied = os.scandir, PermissionError(13, "Permission denied")

    def refuse(path):
        raise denied

    monkeypatch.setattr(os, "scandir", lambda path: refuse(path) if Path(path).name == "locked" else scandir(path))
    reader = "expressnet_jax.data.media_files.read_head"
    monkeypatch.setattr(reader, lambda path: refuse(path) if path.name == "b.jpg" else saved("JPEG"))
    found = find_media(tmp_path)
    assert found.left_out == {
        tmp_path / "b.jpg": "can't be read: Permission denied",
        tmp_path / "locked": "a folder that can't be read: Permission denied",
    }
    assert [file.path for file in found.files] == [tmp_path / "a.jpg"]


def test_a_single_file_is_looked_at_whatever_its_name(tmp_path):
    path = tmp_path / "._a.txt"
    path.write_bytes(saved("GIF", "P"))
    assert find_media(path).files == [(path, "image")]
    assert find_media(tmp_path / "nowhere").left_out == {
        tmp_path / "nowhere": "can't be read: No such file or directory"
    }


def test_names_in_another_encoding_are_found_and_printed(tmp_path):
    name = "照片1.jpg".encode("gbk")
    with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
        file.write(saved("JPEG"))
    (found,) = find_media(tmp_path).files
    assert os.fsencode(found.path.name) == name
    shown = printable(found.path.name)
    assert shown.encode() and shown.startswith("\\xd5\\xd5") and shown.endswith("1.jpg")
    assert printable("照片\n\x1b[2J é.jpg") == "照片\\n\\x1b[2J é.jpg"


def test_no_image_library_is_needed():
    code = "import sys, expressnet_jax.data.media_files; print(*{'jax', 'cv2', 'PIL', 'numpy'} & set(sys.modules))"
    assert not subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_images_that_follow_one_another_are_a_video_by_their_suffix_alone(tmp_path):
    for name in ("a.mjpeg", "b.MJPG", "c.jpg"):
        (tmp_path / name).write_bytes(saved("JPEG") * 3)
    assert [file.kind for file in find_media(tmp_path).files] == ["video", "video", "image"]
    assert media_kind(tmp_path / "a.mjpeg") == "video"


def test_what_is_not_there_is_called_what_it_is(tmp_path):
    (tmp_path / "link.jpg").symlink_to("nothing")
    assert missing(tmp_path / "link.jpg") == "a broken link"
    for address in ("http://example.org/a.jpg", "S3://bucket/a.jpg", Path("https://example.org/a.jpg")):
        assert missing(address).startswith("an address, not a file; nothing is fetched")
    assert {missing(name) for name in ("a.jpg", "C:/a.jpg", "/a:/b.jpg")} == {"no such file"}
