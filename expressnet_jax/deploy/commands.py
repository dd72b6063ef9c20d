"""The commands of `expressnet` about faces: predict and webcam."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from expressnet_jax.errors import UserError

NO_FACE, UNREADABLE = 1, 2  # exit statuses; 0: every picture was read and had a face


def add_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    """`command` (name, function, text, uses_jax) makes a subparser."""
    text = "Find faces in pictures or a video and predict the label annotators would give to each expression."
    sub = command("predict", predict, text, uses_jax=False)
    sub.add_argument(
        "pictures", nargs="+", help="files, folders, patterns, - for one picture on standard input, or one video"
    )
    _prediction(sub)
    sub.add_argument("--json", action="store_true", help="a line of JSON a picture instead of the table")
    sub.add_argument("--csv", type=Path, help="write a row a face; of a video, an interrupted one is continued")
    sub.add_argument("--save", type=Path, help="write the picture with boxes: a file, or a folder for several")
    sub.add_argument("--annotate", type=Path, metavar="FILE.mp4", help="write the video with boxes, without its sound")

    text = "Show what a camera's faces are predicted as, in the terminal, until Ctrl-C."
    sub = command("webcam", webcam, text, uses_jax=False)
    sub.add_argument("--camera", type=int, default=0, metavar="NUMBER", help="default: 0, the first")
    _prediction(sub)
    sub.add_argument("--csv", type=Path, help="write a row a face and frame")


def _prediction(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--model", default="small", help="small, small_int8, tiny, or a file of expressnet export")
    sub.add_argument("--detector", default="centerface", help="centerface, haar, mtcnn, yunet:FILE, or none for crops")
    sub.add_argument(
        "--size",
        type=int,
        help="pixels that the detector looks at; more finds smaller faces; default: 960, of videos and cameras 320",
    )
    sub.add_argument(
        "--no-align", dest="align", action="store_false", help="do not turn faces until the eyes are level"
    )
    sub.add_argument("--equalize", action="store_true", help="spread the histogram of each gray face")
    sub.add_argument("--threads", type=int, default=0, help="default: one for each core")


def make_predictor(arguments: argparse.Namespace):
    from expressnet_jax.deploy.predictor import Predictor

    names = ("detector", "size", "align", "equalize", "threads")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    return Predictor(arguments.model, **given)


def predict(arguments: argparse.Namespace) -> int:
    """Exit status 0, NO_FACE or UNREADABLE, the gravest that came up."""
    from expressnet_jax.deploy.video_reader import SUFFIXES as VIDEOS

    if any(Path(word).suffix.lower() in VIDEOS for word in arguments.pictures):
        from expressnet_jax.deploy.video_commands import predict_video

        return predict_video(arguments)
    if arguments.annotate:
        raise UserError("--annotate is for videos; --save writes pictures with boxes")
    return predict_pictures(arguments)


def predict_pictures(arguments: argparse.Namespace) -> int:
    """As `predict`; what can't be read or saved is told, and the others go on."""
    from expressnet_jax.deploy import outputs
    from expressnet_jax.deploy.pictures import read_picture
    from expressnet_jax.deploy.saving import Saver

    sources = expand(arguments.pictures)
    saver = Saver(arguments.save, several=len(sources) > 1) if arguments.save else None
    predictor = make_predictor(arguments)
    status = 0
    with contextlib.ExitStack() as stack:
        table = None
        if arguments.csv:
            table = outputs.Csv(stack.enter_context(new_file(arguments.csv)), predictor.classes)
        for source in sources:
            name = "standard input" if source == "-" else source
            faces, reason = None, ""
            try:
                image = read_picture(sys.stdin.buffer.read() if source == "-" else source, name)
                faces = predictor.describe(image, predictor.detector.find(image))
                if saver:
                    print(f"wrote {saver.save(name, image, faces)}", file=sys.stderr)
            except UserError as error:
                print(f"error: {error}", file=sys.stderr)
                status, reason = UNREADABLE, str(error)
            if faces is not None:
                status = max(status, 0 if faces else NO_FACE)
                print(outputs.json_line(name, faces) if arguments.json else outputs.table(name, faces), flush=True)
            elif arguments.json:
                print(outputs.json_error(name, reason), flush=True)
            if table:
                table.write(name, faces)
    return status


def webcam(arguments: argparse.Namespace) -> int:
    """Exit status 0 or NO_FACE."""
    from expressnet_jax.deploy import video_commands

    return video_commands.webcam(arguments)


def expand(words: list[str]) -> list[str]:
    """Files, folders (all pictures below), patterns -> files in order; what is not there stays, to fail when read.

    Raises:
      UserError: nothing there at all.
    """
    found = [[word] if word == "-" or Path(word).is_file() else _below(word) for word in words]
    if not any(found):
        raise UserError(f"{words[0]}: no picture there; give files, a folder or a pattern")
    return [name for word, names in zip(words, found, strict=True) for name in names or [word]]


def _below(word: str) -> list[str]:
    """The pictures of a folder, or the files that fit a pattern."""
    import glob

    from expressnet_jax.deploy.pictures import SUFFIXES

    if Path(word).is_dir():
        return sorted(str(p) for p in Path(word).rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    return sorted(name for name in glob.glob(word, recursive=True) if Path(name).is_file())


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[TextIO]:
    """A text file that takes its name when it is whole.

    Raises:
      UserError: it can't be written.
    """
    partial = path.with_name(path.name + ".new")
    try:
        # Names of files may hold bytes that are no text; they go out as they came in.
        file = partial.open("w", newline="", encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror})") from error
    try:
        with file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
