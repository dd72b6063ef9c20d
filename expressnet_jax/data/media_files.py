"""Find the images, videos and sound files below a folder: one rule for litter, and content instead of suffixes."""

import os
import re
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from expressnet_jax.data.media_types import HEAD_BYTES, MediaType, identify
from expressnet_jax.errors import printable

# What operating systems, storage boxes, browsers and programs leave in folders; names are compared in lower case.
LITTER = frozenset(
    [
        *("thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"),  # Windows
        *("$recycle.bin", "recycler", "system volume information"),
        *("__macosx", "icon\r", "network trash folder", "temporary items"),  # macOS
        *("@eadir", "#recycle", "#snapshot", "@tmp", "@recycle", "@recently-snapshot", "@__thumb"),  # Synology, QNAP
        *("lost+found", "__pycache__", "picasa.ini", "zbthumbnail.info", "pspbrwse.jbf", "_gsdata_", "found.000"),
    ]
)
_LITTER_BEGINNINGS = (".", "~$", "synofile_thumb_", "syno@.", ".trash-")  # a leading dot: hidden
_LITTER_ENDINGS = (  # unfinished: of editors, browsers, and programs that copy or share files
    *("~", ".tmp", ".temp", ".part", ".partial", ".crdownload", ".opdownload", ".download"),
    *(".filepart", ".dpartial", ".!ut", ".!qb", ".!bt", ".!sync", ".bc!"),
)
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.I)  # two letters at least: one is a drive of Windows
_RAW_VIDEO_SUFFIXES = (".mjpeg", ".mjpg")


class MediaFile(NamedTuple):
    """A file that can be looked at or listened to: kind is "image", "video" or "audio"."""

    path: Path
    kind: str


class MediaListing(NamedTuple):
    """What lies below a folder. len(files) + len(left_out) + litter is the number of its files.

    Attributes:
      files: in the order of their paths.
      left_out: path -> why, in a few words ("text", "an empty file", "a broken link"), in the order of the paths.
      litter: how many files were skipped by the rule of `is_litter`.
    """

    files: list[MediaFile]
    left_out: dict[Path, str]
    litter: int

    def only(self, *kinds: str) -> "MediaListing":
        """Keep these kinds; the others are left out as "a video", "an image" or "sound"."""
        others = {file.path: KIND_NAMES[file.kind] for file in self.files if file.kind not in kinds}
        left_out = dict(sorted((self.left_out | others).items()))
        return MediaListing([file for file in self.files if file.kind in kinds], left_out, self.litter)


KIND_NAMES = {"image": "an image", "video": "a video", "audio": "sound"}


def is_litter(path: Path, root: Path) -> bool:
    """Return whether `path` is nothing that a person put there: by the names below `root`, which itself doesn't
    count."""
    try:
        parts = path.relative_to(root).parts
    except ValueError:  # somewhere else, as a CSV may say
        parts = (path.name,)
    return any(is_litter_name(part) for part in parts)


def is_litter_name(name: str) -> bool:
    """Return whether a file or folder of this name is litter."""
    low = name.lower()
    if name in ("", ".", ".."):
        return False
    return low in LITTER or low.startswith(_LITTER_BEGINNINGS) or low.endswith(_LITTER_ENDINGS)


def no_litter(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the paths whose own name is none of litter."""
    return (path for path in paths if not is_litter_name(path.name))


def media_kind(source: str | PathLike | bytes) -> str:
    """Return "image", "video", "audio", "text", "empty" or "other" by the content of a file, or by its first bytes.

    Raises:
      OSError: the file can't be read.
    """
    return (identify(source) if isinstance(source, bytes) else _identify_file(Path(source))).kind


def _identify_file(path: Path) -> MediaType:
    """Return the type of a file by its content; the suffix tells images that follow one another from a single one.

    Raises:
      OSError: it can't be read.
    """
    found = identify(read_head(path))
    is_stream = found.name == "JPEG" and path.suffix.lower() in _RAW_VIDEO_SUFFIXES
    return MediaType("video", "Motion JPEG") if is_stream else found


def missing(path: str | PathLike, otherwise: str = "no such file") -> str:
    """Return what a path is that leads to nothing: an address, a broken link, or what `otherwise` says."""
    if ADDRESS.match(os.fspath(path)):
        return "an address, not a file; nothing is fetched, so download it first and give the file"
    return "a broken link" if os.path.islink(path) else otherwise


def read_head(path: str | PathLike) -> bytes:
    """Return the first bytes of a file, as many as `identify` looks at.

    Raises:
      OSError: it can't be read, or is no file.
    """
    with open(path, "rb", buffering=0) as file:
        return file.read(HEAD_BYTES) or b""


def find_media(root: str | PathLike) -> MediaListing:
    """Find every file below `root`, through links too; a file given as `root` is looked at whatever its name.

    Nothing is opened that is no file or is litter, and nothing that can't be read stops the search.
    """
    root = Path(root)
    files, left_out, litter = [], {}, 0
    for path, reason in _walk(root, ()) if os.path.isdir(root) else [(root, None)]:
        if reason == "litter":
            litter += 1
            continue
        kind, reason = ("", reason) if reason else _look(path)
        if reason:
            left_out[path] = reason
        else:
            files.append(MediaFile(path, kind))
    return MediaListing(files, left_out, litter)


def _look(path: Path) -> tuple[str, str | None]:
    """(kind, None), or ("", why the file is left out)."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would wait until somebody writes
            return "", "not a file"
        found = _identify_file(path)
    except (OSError, ValueError) as error:
        return "", _unreadable(path, error)
    return (found.kind, None) if found.kind in KIND_NAMES else ("", found.name)


def _unreadable(path: Path, error: Exception) -> str:
    if path.is_symlink() and not os.path.exists(path):
        return "a broken link"
    return f"can't be read: {getattr(error, 'strerror', None) or error}"


def _walk(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[Path, str | None]]:
    """Yield each file below a folder in the order of paths, with "litter", a reason why it isn't read, or None.

    `above` are device and inode of the folders on the way here, so that links can't lead round in circles.
    """
    try:
        status = folder.stat()
        here = (status.st_dev, status.st_ino)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield folder, f"a folder that {_unreadable(folder, error)}"
        return
    if here in above:
        yield folder, "a link to a folder that it lies in"
        return
    for entry in entries:
        path = folder / entry.name
        if is_litter_name(entry.name):
            for _ in range(_count(path)):
                yield path, "litter"
        elif os.path.isdir(path):
            yield from _walk(path, (*above, here))
        else:
            yield path, None


def _count(path: Path) -> int:
    """Return how many files a file or folder of litter is; links are not followed."""
    if path.is_symlink() or not os.path.isdir(path):
        return 1
    return sum(len(names) for _, _, names in os.walk(path))


def describe_left_out(left_out: dict[Path, str], litter: int, root: Path, most: int = 20) -> list[str]:
    """Return lines for a person: "left out 3 files:", one line for each of the first `most`, and the litter."""
    lines = [f"left out {_files(len(left_out))}:"] if left_out else []
    for path, reason in list(left_out.items())[:most]:
        lines.append(f"  {printable(_relative(path, root))} ({reason})")
    if len(left_out) > most:
        lines.append(f"  and {len(left_out) - most} more")
    return lines + ([f"skipped {_files(litter)} of litter (hidden, thumbnails, unfinished)"] if litter else [])


def name_some(left_out: dict[Path, str], root: Path, most: int = 3) -> str:
    """Return "notes.txt (text), clip.mp4 (a video), and 4 more" for the end of a message."""
    named = [f"{printable(_relative(path, root))} ({reason})" for path, reason in list(left_out.items())[:most]]
    more = [f"and {len(left_out) - most} more"] if len(left_out) > most else []
    return ", ".join(named + more)


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


def _relative(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path != root and path.is_relative_to(root) else path


def by_reason(left_out: Collection[str]) -> dict[str, int]:
    """Return how often each reason occurs, the most frequent first."""
    return dict(Counter(left_out).most_common())
