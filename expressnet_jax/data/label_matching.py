"""The labels of a data set in the classes of a model, matched by name.

Shapes: N examples.
"""

from collections.abc import Sequence

import numpy as np

from expressnet_jax.data.labels import canonical
from expressnet_jax.data.prepared import Split
from expressnet_jax.errors import UserError, shorten


def match_labels(split: Split, classes: Sequence[str]) -> tuple[Split, np.ndarray]:
    """Return the examples whose class is one of `classes`, and their labels int64[n] there.

    Class names are matched as they are, else by the taxonomy (`happy` is `happiness`).

    Raises:
      UserError: not one class in common.
    """
    labels = labels_in(split, classes)
    if not (labels >= 0).any():
        raise UserError(f"no class in common: data {shorten(split.classes)}; model {shorten(classes)}")
    kept = np.flatnonzero(labels >= 0)
    return split.subset(kept), labels[kept]


def labels_in(split: Split, classes: Sequence[str]) -> np.ndarray:
    """Return every example's label int64[N] among `classes`, -1 where it is none of them; matched as in
    `match_labels`."""
    own = {canonical(name) or name: i for i, name in enumerate(classes)} | {name: i for i, name in enumerate(classes)}
    position = np.array([own.get(name, own.get(canonical(name) or name, -1)) for name in split.classes])
    return position[split.labels]
