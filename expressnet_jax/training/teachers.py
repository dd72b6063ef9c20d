"""What other networks predict for the training images, as further targets of a run.

Every output that all teachers have becomes the target `teacher_NAME`: the mean of their probabilities for classes, of
their values for the rest. Each image is shown as it is and mirrored. The answers are kept next to the prepared data, by
the content of the teachers and the choice of images, so that a run that is resumed learns from the very same numbers.
Shapes: N examples, K classes.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from expressnet_jax.data.fields import Field, stored_points
from expressnet_jax.data.pipeline import make_eval_batches
from expressnet_jax.data.prepared import Split
from expressnet_jax.errors import UserError
from expressnet_jax.evaluation.evaluate import collect_outputs
from expressnet_jax.evaluation.tta import outputs_with_tta
from expressnet_jax.io import write_arrays
from expressnet_jax.metric_writers import log_line
from expressnet_jax.runtime.onnx_predict import onnx_predict
from expressnet_jax.training.checkpoints.reading import load_checkpoint
from expressnet_jax.training.step import make_predict_fn
from expressnet_jax.training.targets import PREFIX

BATCH = 256


class Teacher(NamedTuple):
    """A trained network.

    Attributes:
      name: where it is.
      image_shape: (H, W, C) of what it sees.
      fields: its outputs by name.
      predict: uint8[B,H,W,C] -> each output by name, [B,...]; classes as probabilities.
      digest: the hash of its content.
    """

    name: str
    image_shape: tuple[int, ...]
    fields: dict[str, Field]
    predict: Callable[[np.ndarray], Mapping[str, np.ndarray]]
    digest: str


def _load_teacher(path: str) -> Teacher:
    """Return the teacher in an .onnx file, a run or a checkpoint.

    Raises:
      UserError: it is none of these.
    """
    return _onnx_teacher(path) if path.endswith(".onnx") else _checkpoint_teacher(path)


def _onnx_teacher(path: str) -> Teacher:
    model = onnx_predict(path)
    fields = {model.output: Field("class", (len(model.classes),), model.classes), **model.fields}

    def predict(images: np.ndarray) -> dict[str, np.ndarray]:
        answer, further = model.answers(images)
        return {model.output: answer, **further}

    return Teacher(path, model.image_shape, fields, predict, hashlib.sha256(Path(path).read_bytes()).hexdigest())


def _checkpoint_teacher(path: str) -> Teacher:
    checkpoint = load_checkpoint(path)
    classes = [name for name, field in checkpoint.outputs.items() if field.kind == "class"]
    predict = partial(make_predict_fn(checkpoint.model, apply="all", classes=classes), checkpoint.variables)
    return Teacher(path, checkpoint.image_shape, checkpoint.outputs, predict, checkpoint.digest)


def _shared_fields(teachers: Sequence[Teacher]) -> dict[str, Field]:
    """Return the outputs that all teachers have.

    Raises:
      UserError: two of them call different things by one name, or they have nothing in common.
    """
    first, *others = teachers
    shared = {name: field for name, field in first.fields.items() if all(name in other.fields for other in others)}
    for other in others:
        for name, field in shared.items():
            if (other.fields[name].names, other.fields[name].shape) != (field.names, field.shape):
                raise UserError(
                    f"teachers: {name} is {_listed(field)} to {first.name} and {_listed(other.fields[name])} to"
                    f" {other.name}; give teachers of the same classes"
                )
    if not shared:
        raise UserError(f"teachers: {', '.join(each.name for each in teachers)} have no output in common")
    return shared


def with_teachers(
    paths: Sequence[str], split: Split, folder: Path, own: Mapping[str, Field], size: tuple[int, int] | None
) -> Split:
    """Return a split with what the teachers say of its examples as further targets.

    `own` are the targets of the data set, whose classes the teachers must have; answers are kept in `folder`. `size` is
    (height, width) of the stored images, in whose pixels points are.

    Raises:
      UserError: a teacher that is not there, or one with other classes than the data set or another teacher.
    """
    if size is None:
        raise UserError("teachers: they answer about images, and this data set holds none; leave them out")
    teachers = [_load_teacher(path) for path in paths]
    shared = _shared_fields(teachers)
    for name, field in shared.items():
        if name in own and field.kind == "class" and own[name].names != field.names:
            raise UserError(
                f"teachers: {name} is {_listed(own[name])} in the data and {_listed(field)} to {teachers[0].name}; give"
                " teachers of these classes in this order"
            )
    key = hashlib.sha256("".join([*(each.digest for each in teachers), *shared]).encode())
    key.update(np.ascontiguousarray(split.indices).tobytes())
    path = folder / f"teachers_{key.hexdigest()[:12]}.npz"
    values = _kept(path, shared) or _asked(teachers, shared, split, path)
    values |= {name: stored_points(values[name], size) for name, field in shared.items() if field.kind == "points"}
    named = lambda of: {f"{PREFIX}{name}": value for name, value in of.items()}
    return split.with_targets(named(shared), named(values))


def _listed(field: Field) -> str:
    return ", ".join(field.names) or f"{field.kind} of shape {field.shape}"


def _kept(path: Path, fields: Mapping[str, Field]) -> dict[str, np.ndarray] | None:
    """Return the answers that are stored; None where there are none, or their file is torn."""
    with suppress(OSError, ValueError, KeyError), np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in fields}
    return None


def _asked(teachers: Sequence[Teacher], fields: Mapping[str, Field], split: Split, path: Path) -> dict[str, np.ndarray]:
    """Return the mean answers, one teacher after the other, and a file of them where the folder can be written."""
    total = {name: np.zeros((len(split), *field.shape), np.float64) for name, field in fields.items()}
    for teacher in teachers:
        log_line(f"{teacher.name} answers {len(split):,} images as a teacher; the answers are kept for later runs")
        predict = outputs_with_tta(teacher.predict, dict(fields), "flip")
        batches = make_eval_batches(split, min(BATCH, len(split)), shape=teacher.image_shape).batches()
        for name, answers in collect_outputs(predict, fields, batches).items():
            total[name] += answers / len(teachers)
    values = {name: value.astype(np.float32) for name, value in total.items()}
    with suppress(UserError):  # on a disk that can only be read, they are asked each time
        write_arrays(path, values)
    return values
