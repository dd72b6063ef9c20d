"""The emotion taxonomy: seven basic expressions, eight with contempt, and each data set's codes mapped into it.

Class order is FER2013's, with contempt last, so that a model of seven classes is a prefix of one of eight.
"""

from collections.abc import Sequence

from expressnet_jax.errors import UserError, shorten

BASIC = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
WITH_CONTEMPT = (*BASIC, "contempt")
LABELS = ("auto", "own")  # how a user's labels become classes: by their meaning where all have one, or as they are

FER2013_CODES = dict(enumerate(BASIC))
RAFDB_CODES = dict(enumerate(("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"), start=1))
AFFECTNET_CODES = dict(
    enumerate(("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"))
)
CKPLUS_CODES = dict(enumerate(("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")))
JAFFE_CODES = {
    "AN": "anger",
    "DI": "disgust",
    "FE": "fear",
    "HA": "happiness",
    "SA": "sadness",
    "SU": "surprise",
    "NE": "neutral",
}
EXPW_CODES = dict(enumerate(("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")))
DFEW_CODES = dict(enumerate(("happiness", "sadness", "neutral", "anger", "surprise", "disgust", "fear"), start=1))
FERPLUS_COLUMNS = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "NF",
)

ALIASES = {
    "anger": ("angry", "an"),
    "disgust": ("disgusted", "di"),
    "fear": ("fearful", "afraid", "scared", "fe"),
    "happiness": ("happy", "joy", "smile", "ha"),
    "sadness": ("sad", "sa"),
    "surprise": ("surprised", "suprise", "su"),
    "neutral": ("neutrality", "ne", "none"),
    "contempt": ("contemptuous", "disdain"),
}
_CANONICAL = {alias: name for name, aliases in ALIASES.items() for alias in (name, *aliases)}


def canonical(name: str) -> str | None:
    """Return the taxonomy's word for a class name as people write it (`Happy`, `1_sad`, `surprised`), or None."""
    word = name.strip().lower().lstrip("0123456789_-. ")
    return _CANONICAL.get(word)


def shared_classes(source: Sequence[str], target: Sequence[str]) -> tuple[str, ...]:
    """Return the classes that two data sets have in common, in the source's order.

    Raises:
      UserError: if they share fewer than two, for then nothing can be compared.
    """
    shared = tuple(name for name in source if name in set(target))
    if len(shared) < 2:
        raise UserError(
            f"label spaces share {len(shared)} classes: {shorten(source)} | {shorten(target)}; "
            "rename the target's classes to the source's"
        )
    return shared
