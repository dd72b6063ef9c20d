"""The commands of `expressnet` about faces: predict and webcam."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from expressnet_jax.errors import UserError

NO_FACE, UNREADABLE = 1, 2  # exit statuses; 0: every picture was read and had a face


def add_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    """`command` (name, function, text, uses_jax) makes a subparser."""
    text = "Find faces in pictures or a film and predict the label annotators would give to each expression."
    sub = command("predict", predict, text, uses_jax=False)
    sub.add_argument(
        "pictures", nargs="+", help="files, folders, patterns, - for one picture on standard input, or one film"
    )
    _prediction(sub)
    sub.add_argument("--json", action="store_true", help="a line of JSON a picture instead of the table")
    sub.add_argument("--csv", type=Path, help="write a row a face; of a film, an interrupted one is continued")
    sub.add_argument("--save", type=Path, help="write the picture with boxes: a file, or a folder for several")
    sub.add_argument("--annotate", type=Path, metavar="FILE.mp4", help="write the film with boxes, without its sound")

    text = "Show what a camera's faces are predicted as, in the terminal, until Ctrl-C."
    sub = command("webcam", webcam, text, uses_jax=False)
    sub.add_argument("--camera", type=int, default=0, metavar="NUMBER", help="default: 0, the first")
    _prediction(sub)
    sub.add_argument("--csv", type=Path, help="write a row a face and frame")


def _prediction(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--model", default="small", help="small, small_int8, or a file of expressnet export")
    sub.add_argument("--detector", default="centerface", help="centerface, haar, mtcnn, yunet:FILE, or none for crops")
    sub.add_argument(
        "--size",
        type=int,
        help="pixels that the detector looks at; more finds smaller faces; default: 960, of films and cameras 320",
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
    from expressnet_jax.deploy import listing
    from expressnet_jax.deploy.film import SUFFIXES as FILMS
    from expressnet_jax.deploy.pictures import read_picture

    if any(Path(word).suffix.lower() in FILMS for word in arguments.pictures):
        from expressnet_jax.deploy.video_commands import predict_film

        return predict_film(arguments)
    if arguments.annotate:
        raise UserError("--annotate is for films; --save writes pictures with boxes")
    sources = list(expand(arguments.pictures))
    predictor = make_predictor(arguments)
    status = 0
    with contextlib.ExitStack() as stack:
        table = None
        if arguments.csv:
            table = listing.Csv(stack.enter_context(_new_file(arguments.csv)), predictor.classes)
        for source in sources:
            name = "standard input" if source == "-" else source
            try:
                image = read_picture(sys.stdin.buffer.read() if source == "-" else source, name)
                faces = predictor.describe(image, predictor.detector.find(image))
            except UserError as error:
                print(f"error: {error}", file=sys.stderr)
                status = UNREADABLE
                continue
            status = max(status, 0 if faces else NO_FACE)
            print(listing.json_line(name, faces) if arguments.json else listing.table(name, faces), flush=True)
            if table:
                table.write(name, faces)
            if arguments.save:
                _save(arguments.save, name, len(sources) > 1, image, faces)
    return status


def webcam(arguments: argparse.Namespace) -> int:
    """Exit status 0 or NO_FACE."""
    from expressnet_jax.deploy import video_commands

    return video_commands.webcam(arguments)


def expand(words: list[str]) -> Iterator[str]:
    """Files, folders (all pictures below), patterns -> files in order.

    Raises:
      UserError: nothing there.
    """
    from expressnet_jax.deploy.pictures import SUFFIXES

    for word in words:
        path = Path(word)
        if word == "-" or path.is_file():
            yield word
            continue
        if path.is_dir():
            found = sorted(str(p) for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        else:
            import glob

            found = sorted(name for name in glob.glob(word, recursive=True) if Path(name).is_file())
        if not found:
            raise UserError(f"{word}: no picture there; give files, a folder or a pattern")
        yield from found


def _new_file(path: Path):
    try:
        return path.open("w", newline="", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror})") from error


def _save(where: Path, name: str, several: bool, image, faces) -> None:
    from PIL import Image

    from expressnet_jax.deploy.annotate import annotate

    path = where / f"{Path(name).stem}.png" if several or where.is_dir() else where
    drawn = annotate(image, [face.box for face in faces], [face.probabilities for face in faces])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn).save(path)
    except (OSError, ValueError) as error:
        raise UserError(f"--save: {path}: can't be written ({error}); give a .png or .jpg, or a folder") from error
    print(f"wrote {path}", file=sys.stderr)
