"""Find the images and videos that `expressnet predict` looks at, by content, and what of a folder is left out."""

import contextlib
import glob
import os
import stat
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from shutil import copyfileobj
from typing import NamedTuple

from expressnet_jax.data.media_files import by_reason, describe_left_out, find_media, is_litter, media_kind, missing
from expressnet_jax.errors import UserError

STANDARD_INPUT = "-"
_VIDEO_SUFFIXES = frozenset(
    [".mp4", ".m4v", ".mov", ".3gp", ".avi", ".mkv", ".webm", ".mts", ".m2ts", ".ts", ".mpg", ".mpeg", ".vob", ".wmv"]
)


class Source(NamedTuple):
    """One input.

    Attributes:
      name: the file to read.
      kind: "image" or "video".
      shown: what it is called: its name, or "standard input" of the file in which a pipe's content lies.
    """

    name: str
    kind: str
    shown: str


class Inputs(NamedTuple):
    """All inputs of a run in the order given.

    Attributes:
      sources: what is predicted.
      left_out: file in a folder -> why it isn't.
      litter: files in folders that nobody put there.
      searched: the folders and patterns that were searched.
    """

    sources: list[Source]
    left_out: dict[Path, str]
    litter: int
    searched: list[str]

    def describe_left_out(self) -> list[str]:
        """Return lines that name what was left out."""
        return describe_left_out(self.left_out, self.litter, Path()) if self.searched else []

    def summary(self, read: Counter[str]) -> str:
        """Return "8 files: 4 images, 1 video, 1 unreadable, 2 left out (litter 1, text 1)"; `read` counts by kind."""
        reasons = by_reason(self.left_out.values()) | ({"litter": self.litter} if self.litter else {})
        left_out = sum(reasons.values())
        parts = [_count(read[kind], kind) for kind in ("image", "video") if read[kind]]
        parts += [f"{read['unreadable']:,} unreadable"] if read["unreadable"] else []
        why = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
        parts += [f"{left_out:,} left out ({why})"] if left_out else []
        return f"{_count(read.total() + left_out, 'file')}: {', '.join(parts)}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def find_inputs(words: Sequence[str], streams: Path) -> Inputs:
    """Find the files, those below folders and those that fit patterns; what is not there stays, to fail when read.

    The content of standard input and other pipes is stored in the folder `streams`.

    Raises:
      UserError: nothing there at all, an empty name, a device, or a pipe that can't be read or stored.
    """
    if "" in words:  # which would be the folder one stands in
        raise UserError("INPUT is empty, as from a variable that isn't set; give files, a folder or a pattern")
    inputs = Inputs([], {}, 0, [])
    for word in words:
        inputs = _add(inputs, word, streams)
    if not any(source.kind != "missing" for source in inputs.sources):
        for line in inputs.describe_left_out():
            print(line, file=sys.stderr)
        raise UserError(f"{words[0]}: {_nothing_there(words[0])}")
    return inputs._replace(sources=[_guessed(source) for source in inputs.sources])


def _nothing_there(word: str) -> str:
    if Path(word).is_dir():
        return "no image or video in this folder"
    if glob.has_magic(word):
        return "no image or video that fits this pattern"
    hint = " such as 'frame*.png', in quotes" if "%" in word else ""
    what = missing(word)
    return what if ";" in what else f"{what}; give files, a folder or a pattern{hint}"


def _guessed(source: Source) -> Source:
    """Guess by its suffix what is missing; the reader of that kind reports it."""
    if source.kind != "missing":
        return source
    return source._replace(kind="video" if Path(source.name).suffix.lower() in _VIDEO_SUFFIXES else "image")


def _add(inputs: Inputs, word: str, streams: Path) -> Inputs:
    path = Path(word)
    if path.is_file() and word != STANDARD_INPUT:
        return _with(inputs, Source(word, _source_kind(path), word))
    if path.is_dir():
        found = find_media(path).only("image", "video")
        files = [Source(str(file.path), file.kind, str(file.path)) for file in found.files]
        left_out, litter = inputs.left_out | found.left_out, inputs.litter + found.litter
        return Inputs([*inputs.sources, *files], left_out, litter, [*inputs.searched, word])
    if word == STANDARD_INPUT or path.exists():
        return _with(inputs, _stored(word, streams / f"stream{len(inputs.sources)}"))
    return _add_pattern(inputs, word)


def _add_pattern(inputs: Inputs, word: str) -> Inputs:
    names = sorted(name for name in glob.glob(word, recursive=True) if Path(name).is_file())
    if not names:
        return _with(inputs, Source(word, "missing", word))
    inputs = inputs._replace(searched=[*inputs.searched, word])
    for name in names:
        if is_litter(Path(name), Path()):
            inputs = inputs._replace(litter=inputs.litter + 1)
            continue
        found = find_media(name).only("image", "video")
        files = [Source(name, file.kind, name) for file in found.files]
        inputs = inputs._replace(sources=[*inputs.sources, *files], left_out=inputs.left_out | found.left_out)
    return inputs


def _with(inputs: Inputs, source: Source) -> Inputs:
    return inputs._replace(sources=[*inputs.sources, source])


def _source_kind(path: Path) -> str:
    """Return "image" or "video" of a file that somebody names, by its content; by its suffix only if that says nothing.

    What is neither goes to the reader of its suffix, which says what it is instead.
    """
    try:
        kind = media_kind(path)
    except OSError:
        return "image"
    if kind in ("image", "video"):
        return kind
    if kind == "audio" or path.suffix.lower() in _VIDEO_SUFFIXES or (kind == "other" and _opens_as_video(path)):
        return "video"
    return "image"


def _opens_as_video(path: Path) -> bool:
    """Return whether FFmpeg finds a frame in a file whose first bytes say nothing and which Pillow doesn't know."""
    from PIL import Image

    from expressnet_jax.inference.video_reader import Video

    try:
        Image.open(path).close()
    except Exception:  # Pillow raises OSError, SyntaxError, struct.error, ... for what is no image
        with contextlib.suppress(UserError), contextlib.closing(Video(path)) as video:
            return video.capture.grab()
    return False


def _stored(word: str, path: Path) -> Source:
    """Return the content of a pipe as a file: it can be read only once, and its kind is known only then.

    Raises:
      UserError: it can't be read or stored, or is a device, which may never end.
    """
    shown = "standard input" if word == STANDARD_INPUT else word
    if word != STANDARD_INPUT and not (stat.S_ISFIFO(mode := os.stat(word).st_mode) or stat.S_ISSOCK(mode)):
        raise UserError(f"{shown}: a device, not a file; give files, a folder or a pattern, or use expressnet webcam")
    try:
        with path.open("wb") as file, contextlib.ExitStack() as stack:
            stream = sys.stdin.buffer if word == STANDARD_INPUT else stack.enter_context(open(word, "rb"))
            copyfileobj(stream, file)
    except OSError as error:
        raise UserError(f"{shown}: can't be read into {path.parent} ({error.strerror})") from error
    return Source(str(path), _source_kind(path), shown)
