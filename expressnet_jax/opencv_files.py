"""Give OpenCV the name of a file, and keep it and FFmpeg from printing."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2


@contextlib.contextmanager
def opencv_name(path: Path) -> Iterator[str]:
    """Yield a name under which OpenCV can open `path`: it takes no bytes of another encoding, and reads % as a pattern.

    Such a file has a link while it is being opened.
    """
    name = str(path)
    try:
        name.encode()
        plain = "%" not in name and "://" not in name
    except UnicodeEncodeError:
        plain = False
    if plain:
        yield name
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"video{path.suffix if path.suffix.isascii() else ''}"
        link.symlink_to(path.absolute())
        yield str(link)


def silence_opencv() -> None:
    """Silence OpenCV and FFmpeg, which print pages about a damaged file; here it is one line. A user's own setting
    stays."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET; read when the first video is opened
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
