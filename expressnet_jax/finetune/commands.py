"""Fine-tuning on one's own faces: photographs in class-named folders -> an ONNX file for `expressnet predict`.

    expressnet finetune --data FOLDER --output OUTPUT

OUTPUT/settings.json       what was asked for; the folder belongs to this command
OUTPUT/faces.csv, faces/   see crop_faces.py
OUTPUT/data/               the faces as a prepared data set
OUTPUT/runs/ID/            a training as `python -m expressnet_jax.main` makes it; other faces or settings, another ID
OUTPUT/report.json         before and after; model.onnx next to it
"""

import argparse
import fcntl
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from expressnet_jax.cli_args import key_and_value
from expressnet_jax.data.labels import LABELS
from expressnet_jax.errors import Interrupted, UserError
from expressnet_jax.finetune.run_length import EPOCHS, FEWEST_STEPS, MOST_STEPS

if TYPE_CHECKING:
    from ml_collections import ConfigDict

    from expressnet_jax.data.datasets.folder import Sample
    from expressnet_jax.finetune.crop_faces import CropSettings
    from expressnet_jax.inference.detector import Detector
    from expressnet_jax.training.checkpoints.reading import Checkpoint
    from expressnet_jax.training.train_data import TrainData

SHIPPED = Path(__file__).parents[1] / "inference" / "weights" / "checkpoint"
_DEFAULT_DETECTOR = "centerface"  # as in detector.py, which costs a start of OpenCV
_OURS = ("data.name", "data.dir", "data.source", "export", "init_from", "task")  # keys that --set can't change


class Request(NamedTuple):
    """What is asked for. `overrides` are config keys (train.epochs) with their values."""

    data: Path
    output: Path
    init_from: str | None
    detector: str
    size: int
    align: bool
    overrides: Mapping[str, Any]


def add_command(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command; `command` (name, function, text, uses_jax) makes a subparser."""
    text = "Fine-tune on your own photographs in class-named folders; the result is an ONNX file. Resumable."
    sub = command("finetune", run, text, uses_jax=True)
    sub.add_argument("--data", type=Path, required=True, help="FOLDER/CLASS/*.jpg, or a CSV with path and label")
    sub.add_argument("--output", type=Path, required=True, help="where everything goes; what is there is used again")
    sub.add_argument("--init_from", help="a run's workdir or checkpoint to begin with; default: the shipped one")
    sub.add_argument("--detector", default=_DEFAULT_DETECTOR, help="as in predict; none takes images as faces")
    sub.add_argument("--size", type=int, default=960, help="pixels that the detector looks at")
    sub.add_argument(
        "--no-align", dest="align", action="store_false", help="do not turn faces until the eyes are level"
    )
    sub.add_argument("--epochs", type=float, help=f"default: {EPOCHS}, within {FEWEST_STEPS} to {MOST_STEPS} steps")
    sub.add_argument("--learning_rate", type=float, help="at its highest; of the head, the layers below learn slower")
    sub.add_argument("--seed", type=int, help="default: 0")
    sub.add_argument("--holdout", type=float, help="share that does not train, without validation/; default: 0.2")
    sub.add_argument(
        "--labels",
        choices=LABELS,
        help="own keeps labels of one meaning, such as joy and smile, as classes; default: auto",
    )
    sub.add_argument(
        "--set", action="append", default=[], type=key_and_value, metavar="KEY=VALUE", help="of the run's config"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return exit status 0, or 128 + signal after a stop, from which the same command resumes."""
    from expressnet_jax.compile_cache import enable_compilation_cache

    enable_compilation_cache()
    keys = {"epochs": "train.epochs", "learning_rate": "optimizer.learning_rate", "seed": "seed"}
    keys |= {"holdout": "data.holdout", "labels": "data.options.labels"}
    given = {key: getattr(arguments, name) for name, key in keys.items() if getattr(arguments, name) is not None}
    names = ("data", "output", "init_from", "detector", "size", "align")
    request = Request(**{name: getattr(arguments, name) for name in names}, overrides=dict(arguments.set) | given)
    try:
        report = finetune(request)
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return 128 + stop.signum
    except KeyboardInterrupt:
        print(f"stopped; the same command resumes with what is in {request.output}", file=sys.stderr)
        return 130
    from expressnet_jax.finetune.comparison import table

    print(f"\n{table(report)}\n")
    print(f"in {request.output}: model.onnx, report.json, faces.csv, and the faces themselves")
    print(f"use it: {usage(request)}")
    return 0


def finetune(request: Request, make_detector: "Callable[..., Detector] | None" = None) -> dict[str, Any]:
    """Make what is not there yet: the faces, the training, the ONNX file, the comparison. Return report.json.

    Raises:
      UserError: what a user can fix; what is wrong with the request is found before anything is written.
      Interrupted: the training was stopped, with a checkpoint.
    """
    from expressnet_jax.data.prepare import prepare
    from expressnet_jax.data.remarks import LEFT_OUT, LITTER, remarks
    from expressnet_jax.finetune import crop_faces
    from expressnet_jax.finetune.recipe import NAME, make_config
    from expressnet_jax.inference import detector
    from expressnet_jax.metric_writers import log_line
    from expressnet_jax.training.train_data import load_data

    make_detector = make_detector or detector.make_detector
    labels = request.overrides.get("data.options.labels", "auto")
    notes: dict[str, Any] = {}
    samples = crop_faces.list_photographs(request.data, labels, notes)
    origin = _find_init_checkpoint(request.init_from)
    cutting = check(request, samples, origin, make_detector)
    with claimed(request, cutting) as output:
        others, litter = notes.pop(LEFT_OUT, {}), notes.pop(LITTER, 0)
        for line in remarks(str(request.data), notes, "--labels own"):
            log_line(line)
        seen = crop_faces.store_faces(samples, output / "faces", cutting, make_detector)
        faces = crop_faces.write_lists(samples, seen, others, output, labels)
        log_line(crop_faces.summary(seen, others))
        crop_faces.check_classes(samples, seen, cutting, labels)
        prepare("folder", faces, output / "data", name=NAME, labels=labels)
        overrides = {**request.overrides, "data.dir": str(output / "data")}
        data = load_data(make_config(origin, overrides))
        config = make_config(origin, overrides, data.chosen.train)
        folder = output / "runs" / identify(faces, config)
        done = _read(output / "report.json")
        if done.get("run") == folder.name and (output / "model.onnx").is_file():
            log_line(f"finished before: {folder} holds the training on these very faces")
            return done
        facts = {"data": str(request.data), "files": crop_faces.counts(seen, others, litter), "run": folder.name}
        return learn(config, data, origin, folder, output, facts)


def learn(
    config: "ConfigDict", data: "TrainData", origin: "Checkpoint", folder: Path, output: Path, facts: dict[str, Any]
) -> dict[str, Any]:
    """Train in `folder`, export and compare; report.json comes last, so that its presence means all of it is there."""
    from expressnet_jax.environment import machine
    from expressnet_jax.export.onnx_export import export_onnx
    from expressnet_jax.finetune.comparison import compare
    from expressnet_jax.io import write_json
    from expressnet_jax.training import classification
    from expressnet_jax.training.loop import train

    experiment = train(config, folder, classification.build_experiment)
    tuned, _ = experiment.finish(folder)
    (output / "report.json").unlink(missing_ok=True)  # of other settings, whose model.onnx is replaced now
    proof = export_onnx(tuned, output / "model.onnx", images=experiment.sample_images(tuned.image_shape))
    has_test = "test" in data.prepared.splits
    judged = data.prepared.split("test") if has_test else data.chosen.select
    heldout = {"split": "test" if has_test else data.chosen.select_name, "chose_the_epoch": not has_test}
    report = facts | {"init_from": str(origin.path), "step": tuned.step, "seed": config.seed, "heldout": heldout}
    report |= compare(origin, tuned, data.chosen.train, judged)
    report |= {"onnx": proof, "machine": machine()}
    write_json(output / "report.json", report)
    return report


def check(
    request: Request, samples: "Sequence[Sample]", origin: "Checkpoint", make_detector: "Callable[..., Detector]"
) -> "CropSettings":
    """Raise UserError for anything wrong that needs no face to see; return how faces are cut."""
    from expressnet_jax.finetune.crop_faces import CropSettings
    from expressnet_jax.finetune.recipe import make_config
    from expressnet_jax.training.network import image_shape
    from expressnet_jax.training.validate import check_config

    if ours := [key for key in request.overrides if key in _OURS]:
        raise UserError(f"--set: {ours[0]} follows from the other options; leave it out")
    config = make_config(origin, request.overrides)
    check_config(config)
    share = config.data.holdout
    if not 0 < share < 1:
        raise UserError(f"--holdout: {share} is not a share between 0 and 1")
    people = {sample.subject for sample in samples if sample.split in ("train", "all")} - {""}
    folds = max(round(1 / share), 2)
    if people and len(people) < folds and not any(sample.split == "validation" for sample in samples):
        raise UserError(
            f"--holdout: {share:g} is one person in {folds}, and there are {len(people)}; give a larger share"
        )
    side, _, channels = image_shape(config)
    make_detector(request.detector, size=request.size, threads=1)
    return CropSettings(request.detector, request.size, request.align, side, channels)


def _find_init_checkpoint(init_from: str | None) -> "Checkpoint":
    """Return the checkpoint to begin with.

    Raises:
      UserError: there is none.
    """
    from expressnet_jax.training.checkpoints.reading import load_checkpoint

    if init_from is None and not SHIPPED.is_dir():
        raise UserError(
            "--init_from: no checkpoint came with this installation; give a run's workdir, such as that of"
            " python -m expressnet_jax.main --config configs/fer2013.py --workdir runs/fer2013"
        )
    return load_checkpoint(init_from or SHIPPED)


@contextmanager
def claimed(request: Request, cutting: "CropSettings") -> Iterator[Path]:
    """The output folder, made, marked and held for one process.

    Raises:
      UserError: it can't be written, is in use, or holds something else.
    """
    from expressnet_jax.io import write_json

    output, data = request.output, request.data.resolve()
    mark = output / "settings.json"
    if data in (output.resolve(), *output.resolve().parents):
        raise UserError(f"--output {output}: lies in --data, where its faces would be photographs; give another")
    if output.exists() and not output.is_dir():
        raise UserError(f"--output {output}: is a file; give a folder")
    if output.is_dir() and not mark.is_file() and {path.name for path in output.iterdir()} - {".lock"}:
        raise UserError(f"--output {output}: holds something else; give a new or an empty folder")
    if mark.is_file() and (before := _read(mark).get("data")) != str(data):
        raise UserError(f"--output {output}: holds the fine-tuning on {before}; give another folder")
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock = (output / ".lock").open("a")
    except OSError as error:
        raise UserError(f"--output {output}: {error.strerror}; give a folder that can be written") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"--output {output}: another process works in it; wait for it") from error
        asked = request._asdict() | {"data": str(data)} | cutting._asdict()
        write_json(mark, {"command": "expressnet finetune"} | asked)
        yield output


def identify(faces: Path, config: "ConfigDict") -> str:
    """Return a name for the training on these faces with these settings, wherever they lie."""
    import hashlib  # loads OpenSSL, which `expressnet --help` would pay for

    settings = config.to_dict()
    settings["data"].pop("dir")
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(faces.read_bytes() + text.encode()).hexdigest()[:10]


def usage(request: Request) -> str:
    """Return the prediction that cuts faces as they were cut here."""
    cut = [] if request.detector == _DEFAULT_DETECTOR else ["--detector", request.detector]
    cut += [] if request.align else ["--no-align"]
    return shlex.join(["expressnet", "predict", "photo.jpg", "--model", str(request.output / "model.onnx"), *cut])


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
