"""The commands of `expressnet` about faces: predict and webcam."""

import argparse
from collections.abc import Callable
from pathlib import Path

_EXIT_STATUS = """exit status: 0 every input was read and had a face; 1 an input has no face; 2 an input can't be read
or is a truncated video, or an output can't be written. The others are predicted, and the most severe status is
returned. Frames of a video that can't be decoded are counted and skipped; they change no exit status."""


def add_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands; `command` (name, function, text, uses_jax) makes a subparser."""
    text = (
        "Find faces in images and videos and predict the label annotators would give to each expression; or predict"
        " recordings, the sound of videos, stretches of videos, or texts, with a --model of these."
    )
    sub = command("predict", predict, text, uses_jax=False)
    sub.epilog = _EXIT_STATUS
    text = (
        "images and videos in any number, known by their content: files, folders, patterns, - for standard input; or"
        " recordings and videos, with a --model of sound; or texts and files with a text in each line, with one of text"
    )
    sub.add_argument("inputs", nargs="+", metavar="INPUT", help=text)
    _prediction(sub)
    text = "frames a second of what a --model of clips is shown; default: as in its training"
    sub.add_argument("--clip-rate", type=float, default=0.0, metavar="RATE", help=text)
    text = "a line of JSON for each image and each frame of a video instead of the table"
    sub.add_argument("--json", action="store_true", help=text)
    text = "write a row for each face; that of one video is continued if it was interrupted"
    sub.add_argument("--csv", type=Path, metavar="FILE", help=text)
    text = "write the images with boxes: a file for one, or a folder"
    sub.add_argument("--save", type=Path, metavar="FILE|FOLDER", help=text)
    text = "write the videos with boxes, without sound: an .mp4 file for one, or a folder"
    sub.add_argument("--annotate", type=Path, metavar="FILE|FOLDER", help=text)

    text = "Show what a camera's faces are predicted as, in the terminal, until Ctrl-C."
    sub = command("webcam", webcam, text, uses_jax=False)
    sub.add_argument("--camera", type=int, default=0, metavar="NUMBER", help="default: 0, the first")
    _prediction(sub)
    sub.add_argument("--csv", type=Path, help="write a row a face and frame")


def _prediction(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--model", default="small", help="small, small_int8, tiny, tiny_int8, or an exported .onnx file")
    text = "the output that labels, of a model with several, such as fer2013; default: expression"
    sub.add_argument("--output", default="expression", metavar="NAME", help=text)
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


def predict(arguments: argparse.Namespace) -> int:
    """Return exit status 0, NO_FACE or UNREADABLE, the highest of all inputs."""
    from expressnet_jax.inference.predict_inputs import predict_inputs

    return predict_inputs(arguments)


def webcam(arguments: argparse.Namespace) -> int:
    """Run the command; return exit status 0 or NO_FACE."""
    from expressnet_jax.inference import video_commands

    return video_commands.webcam(arguments)
