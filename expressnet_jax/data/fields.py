"""What an example holds: named inputs and named targets, each described by a `Field`.

A batch is a dict of arrays [B,...] by these names, with `index` int32[B], the example's place in its split. A target
that an example does not have is -1 (classes) or NaN (everything else), and counts nothing in losses and metrics; so
data sets with different labels can be mixed.
Shapes: H height, W width, C channels, T frames, K classes, P points, D values, S samples of a sound, L
pieces of a text.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from expressnet_jax.errors import UserError

# image uint8[H,W,C], clip uint8[T,H,W,C], waveform int16[S] of `rate` samples per second, which a network sees as
# float32 in -1..1; class int32[] or float32[K] where annotators' votes are the target; points
# float32[P,2], in pixels from the top left (x right, y down) as stored, from -1 to 1 over the image in a batch; those
# of an input may have a depth, float32[P,3] in the same unit, and frames, float32[T,P,...];
# vector float32[D]; multilabel float32[D] in 0..1, labels that don't exclude one another; tokens int32[L], the numbers
# of a text's word pieces, 0 behind its end.
KINDS = ("image", "clip", "waveform", "class", "points", "vector", "tokens", "multilabel")
INPUT_KINDS = ("image", "clip", "waveform")  # what a record is; everything else is a column next to it

EXPRESSION = "expression"


class Field(NamedTuple):
    """One named value of an example.

    Attributes:
      kind: one of KINDS.
      shape: of one example; of a class (K,), which is what a head gives for it.
      names: of the K classes or the D values, where they have names; of tokens, the vocabulary.
      mirror: which point each point, or which value each value becomes in the mirror: left and right are exchanged.
      rate: of a waveform, samples per second; of a clip, frames per second, 0 where nobody knows.
    """

    kind: str
    shape: tuple[int, ...]
    names: tuple[str, ...] = ()
    mirror: tuple[int, ...] = ()
    rate: float = 0

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as checkpoints and ONNX files carry them."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self._asdict().items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Field":
        """Return the field that `to_json` wrote."""
        lists = {name: tuple(value.get(name, ())) for name in ("shape", "names", "mirror")}
        return cls(value["kind"], **lists, rate=value.get("rate", 0))


# The columns of prepared data sets that are targets, by their standard names.
STANDARD = {
    "valence_arousal": ("vector", ("valence", "arousal")),
    "action_units": ("multilabel", ()),
    "landmarks": ("points", ()),
    "points": ("points", ()),  # of a surface, in no order
    "intensity": ("vector", ("intensity",)),
    "pose": ("vector", ("pitch", "yaw", "roll")),
    "blendshapes": ("vector", ()),
    "openface": ("vector", ()),  # OpenFace's action units of a video, the means over its frames
}

# Which of the 68 points of the iBUG layout (Sagonas et al. 2013) each becomes in the mirror.
MIRROR_68 = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
)


def mirror_names(names: Sequence[str]) -> tuple[int, ...]:
    """Return which of the named values each one becomes in the mirror: `mouthSmileLeft` becomes `mouthSmileRight`.

    A name without left or right, or whose counterpart is not there, stays what it is.
    """
    sides = {"Left": "Right", "Right": "Left", "left": "right", "right": "left"}
    other = lambda name: re.sub("|".join(sides), lambda match: sides[match.group()], name)
    place = {name: position for position, name in enumerate(names)}
    return tuple(place.get(other(name), position) for position, name in enumerate(names))


def target_fields(
    classes: Sequence[str],
    columns: Mapping[str, np.ndarray],
    notes: Mapping[str, Any] | None = None,
    declared: Mapping[str, Field] | None = None,
) -> dict[str, Field]:
    """Return the targets of a split by name: `expression`, whatever its classes are, its columns of standard names, and
    those that the data set has `declared`.

    `columns` are [N,...] arrays, `notes` the data set's own notes: names of the action units, for one.
    """
    fields = {EXPRESSION: Field("class", (len(classes),), tuple(classes))}
    if {"valence", "arousal"} <= set(columns):
        fields["valence_arousal"] = Field("vector", (2,), STANDARD["valence_arousal"][1])
    for name, (kind, names) in STANDARD.items():
        if name not in columns:
            continue
        shape = tuple(columns[name].shape[1:]) or (1,)
        names = tuple((notes or {}).get(name, names))
        mirror = MIRROR_68 if kind == "points" and shape[-2] == len(MIRROR_68) else ()
        fields[name] = Field(kind, shape, names if len(names) == shape[-1] else (), mirror)
    return fields | {name: field for name, field in (declared or {}).items() if name in columns}


def target_column(
    name: str, field: Field, columns: Mapping[str, np.ndarray], size: Sequence[int] | None = None
) -> np.ndarray:
    """Return a target's values as the losses take them: classes int32[N], or float32[N,K] where they are probabilities;
    tokens int32[N,L]; everything else float32[N,...].

    Points come as positions in the stored image of `size` (height, width) and leave from -1 to 1 over it, measured
    from its center: so neither a crop of the middle nor a resized image changes them. A depth, in pixels as well,
    leaves in half image widths.
    """
    if name == "valence_arousal" and name not in columns:
        return np.stack([columns["valence"], columns["arousal"]], axis=-1).astype(np.float32)
    if field.kind == "class":
        return np.asarray(columns[name], np.int32 if columns[name].ndim == 1 else np.float32)
    if field.kind == "tokens":
        return np.asarray(columns[name], np.int32)
    values = np.asarray(columns[name], np.float32)
    if field.kind == "points":
        if size is None:
            raise ValueError(f"{name}: points are measured in the stored image; give its size")
        center, half = _frame(size)
        depth = values[..., 2:] / half[0]
        return np.concatenate([(values[..., :2] - center) / half, depth], axis=-1).astype(np.float32)
    return values if values.ndim > 1 else values[:, None]


def stored_points(points: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Return points float[...,2] from -1 to 1 as positions in the stored image of `size` (height, width)."""
    center, half = _frame(size)
    return points * half + center


def _frame(size: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the center of an image in the numbers of its pixels, and half of its sides: x, y."""
    height, width = size
    return np.array([width - 1, height - 1]) / 2, np.array([width, height]) / 2


def check_target(name: str, fields: Mapping[str, Field], key: str) -> Field:
    """Return the field of a target.

    Raises:
      UserError: the data set has no such target; the line begins with `key`.
    """
    if name not in fields:
        raise UserError(f"{key}: the data set has no target {name!r}; it has {', '.join(fields)}")
    return fields[name]


def named_examples(inputs: Sequence[str]) -> str:
    """Return what to call examples of which a network takes `inputs`: images, clips, recordings, texts; of several
    inputs, or of others, examples."""
    names = {"image": "images", "clip": "clips", "waveform": "recordings", "tokens": "texts"}
    return names.get(inputs[0], "examples") if len(inputs) == 1 else "examples"


def check_vocabulary(inputs: Mapping[str, Field], targets: Mapping[str, Field]) -> None:
    """Raise UserError if a network of `inputs` numbers the pieces of texts otherwise than the columns of a data set."""
    for name, field in inputs.items():
        if field.kind == "tokens" and name in targets and targets[name].names != field.names:
            raise UserError(
                f"{name}: the data set was prepared with another vocabulary than the model was trained with"
                f" ({len(targets[name].names):,} and {len(field.names):,} pieces), so its numbers mean other words;"
                " give the data that the model was trained with, or predict the texts with expressnet predict"
            )


def input_name(examples: Any) -> str:
    """Return what a batch calls waveforms [N,S], images [N,H,W,C] or clips [N,T,H,W,C]."""
    return {2: "waveform", 4: "image", 5: "clip"}[examples.ndim]
