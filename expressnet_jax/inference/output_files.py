"""Write the files of a prediction: never over an input or over each other, and whole or not at all."""

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from expressnet_jax.data.fields import Field
from expressnet_jax.errors import UserError, one_line
from expressnet_jax.inference.annotate import annotate
from expressnet_jax.inference.further import points_of
from expressnet_jax.inference.predictor import Face
from expressnet_jax.io import write_bytes


class OutputError(UserError):
    """What is written of one input can't be written."""


class TableError(OutputError):
    """What all inputs are written to can't be written any more, which ends the run."""


Identity = tuple[int, int]  # device and inode of a file


def identity(path: Path | str) -> Identity | None:
    """Return what tells a file from every other one, whatever it is called; None where there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


class OutputNames:
    """Give each input the name of its output: one file; in a folder STEM.png, or STEM-2.png where that is taken."""

    def __init__(self, option: str, where: Path, *, suffix: str, folder: bool, inputs: Sequence[str]):
        """`inputs` are all files of the run, none of which may be written over.

        Raises:
          UserError: nothing can be written into the folder.
        """
        self.option, self.where, self.suffix, self.folder = option, where, suffix, folder
        self.inputs = {identity(name) for name in inputs} - {None}
        self.taken: set[Path] = set()
        if folder:
            self._make_folder()

    def name(self, source: str) -> Path:
        """Return the output's path.

        Raises:
          OutputError: it is one of the inputs.
        """
        path = self._free(Path(source).stem) if self.folder else self.where
        if identity(path) in self.inputs:
            whose = "the input itself" if identity(path) == identity(source) else "one of the inputs"
            raise OutputError(f"{self.option}: {path}: {whose}; give another name or folder")
        return path

    def _make_folder(self) -> None:
        """Find out before the work whether files can be written into the folder."""
        try:
            self.where.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.where).close()
        except OSError as error:
            reason = f"can't be written into ({error.strerror}); give a folder where you may write"
            raise UserError(f"{self.option}: {self.where}: {reason}") from error

    def _free(self, stem: str) -> Path:
        tries = range(1, len(self.taken) + 2)
        names = (self.where / f"{stem}{f'-{i}' if i > 1 else ''}{self.suffix}" for i in tries)
        path = next(name for name in names if name not in self.taken)
        self.taken.add(path)
        return path


class Saver:
    """Write one image with boxes to a file, or several into a folder, each under its own name."""

    def __init__(self, where: Path, *, several: bool, inputs: Sequence[str] = ()):
        """Raise UserError for a name whose ending tells no format of images."""
        folder = several or where.is_dir()
        if several and where.suffix.lower() in Image.registered_extensions() and not where.is_dir():
            raise UserError(f"--save: {where}: several images; give a folder")
        if not folder and where.suffix.lower() not in Image.registered_extensions():
            raise UserError(f"--save: {where}: give a name that ends in .png or .jpg, or a folder")
        self.names = OutputNames("--save", where, suffix=".png", folder=folder, inputs=inputs)

    def save(
        self, name: str, image: np.ndarray, faces: Sequence[Face], fields: Mapping[str, Field] | None = None
    ) -> Path:
        """Save uint8[H,W,3] with its faces and return where; `fields` are the model's further outputs.

        Raises:
          UserError: that is one of the inputs, or can't be written.
        """
        path = self.names.name(name)
        points = [points_of(face.outputs, fields or {}) for face in faces]
        drawn = annotate(image, [face.box for face in faces], [face.probabilities for face in faces], points=points)
        encoded = io.BytesIO()
        try:
            Image.fromarray(drawn).save(encoded, Image.registered_extensions()[path.suffix.lower()])
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"--save: {path}: can't be written ({one_line(error)})") from error
        return write_bytes(path, encoded.getvalue())


def print_result(text: str) -> None:
    """Print lines on stdout at once.

    Raises:
      TableError: the disk that stdout goes to is full. That nobody reads it any more stays a BrokenPipeError.
    """
    try:
        sys.stdout.write(text + "\n")  # at one stroke, where print may be interrupted before the end of the line
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise TableError(f"standard output: can't be written ({error.strerror})") from error


class _NewFile:
    """A text file that is being written under another name; what goes wrong is one line."""

    def __init__(self, path: Path):
        self.path, self.partial = path, path.with_name(path.name + ".new")
        self.failure: TableError | None = None
        with self._errors():
            if path.is_dir():
                raise IsADirectoryError(None, "a folder")
            # Names of files may hold bytes that are no text; they go out as they came in.
            self.file = self.partial.open("w", newline="", encoding="utf-8", errors="surrogateescape")

    def write(self, text: str) -> int:
        with self._errors():
            return self.file.write(text)

    def finish(self, path: Path) -> None:
        """Close it under the name `path`; what could not be written once is not whole, whatever was caught since."""
        if self.failure:
            raise self.failure
        with self._errors():
            self.file.close()
            self.partial.replace(path)

    def discard(self) -> None:
        """Close it and take it away."""
        with contextlib.suppress(OSError):
            self.file.close()
        with contextlib.suppress(OSError):
            self.partial.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = TableError(f"{self.path}: can't be written ({error.strerror}); give another name")
            raise self.failure from error


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[_NewFile]:
    """A text file that takes its name when it is whole; after Ctrl-C, or when nobody reads what is
    printed, what there is stays as NAME.partial.

    Raises:
      UserError: it can't be written.
    """
    file = _NewFile(path)
    try:
        yield file
        file.finish(path)
    except (KeyboardInterrupt, BrokenPipeError):
        kept = path.with_name(path.name + ".partial")
        file.finish(kept)
        print(f"what was predicted so far is in {kept}", file=sys.stderr)
        raise
    finally:
        file.discard()
