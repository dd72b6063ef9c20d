"""PyTorch as a rival in turns: the same weights and batch, in its own process."""

import inspect
import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import numpy as np

from expressnet_jax.bench.worker import Peer
from expressnet_jax.errors import UserError
from expressnet_jax.models.layers import stem_stride

TWINS = ("ExpressNet", "MobileNetV2", "PlainCNN", "ResNet")


class TorchRival(Peer):
    """One PyTorch process: called with a number of steps it trains them and gives the seconds."""

    def __init__(self, folder: Path, environment: Mapping[str, str], exact: bool):
        super().__init__("expressnet_jax.bench.torch_worker", [str(folder)], environment)
        self.exact = exact

    @classmethod
    def start(cls, stack: ExitStack, step, augment: Mapping[str, float] | None) -> dict[str, "TorchRival"]:
        """The rivals of a step, by name; they end with `stack`.

        Raises:
          UserError: the network has no twin in PyTorch, or PyTorch can't be imported.
        """
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _write(folder, step, augment)
        plain = {k: v for k, v in os.environ.items() if k not in ("GLIBC_TUNABLES", "XLA_FLAGS")}
        settings = {"torch": plain}
        if "GLIBC_TUNABLES" in os.environ and jax.default_backend() == "cpu":
            settings["torch, same allocator"] = plain | {"GLIBC_TUNABLES": os.environ["GLIBC_TUNABLES"]}
        exact = not augment and step.dtype == "float32"
        rivals = {}
        for title, environment in settings.items():
            rivals[title] = cls(folder, environment, exact)
            stack.callback(rivals[title].close)
        return rivals

    def check_loss(self, loss: float) -> None:
        """Raises UserError if the first losses differ, where they can be equal."""
        theirs = self.facts["loss"]
        if self.exact and abs(theirs - loss) > 1e-4:
            raise UserError(f"the networks are not the same: first loss {loss:.6f} here, {theirs:.6f} in PyTorch")


def _write(folder: Path, step, augment: Mapping[str, float] | None) -> None:
    """What the other process builds: network.json and arrays.npz."""
    variables = {"params": step.state.params, "batch_stats": step.state.batch_stats}
    flat = jax.tree_util.tree_leaves_with_path(jax.device_get(variables))
    arrays = {"/".join(key.key for key in path): leaf for path, leaf in flat}
    np.savez(folder / "arrays.npz", images=step.images, labels=step.labels, **arrays)
    backbone = step.model.encoders["image"]()
    spec = {
        "backbone": type(backbone).__name__,
        "options": _options(backbone, step.images.shape),
        "num_classes": step.model.num_classes,
        "dtype": step.dtype,
        "augment": dict(augment or {}),
        **step.recipe,
    }
    (folder / "network.json").write_text(json.dumps(spec))


def _options(backbone: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    """The keyword arguments of the backbone's PyTorch twin."""
    name = type(backbone).__name__
    if name == "PlainCNN":
        return {"channels": shape[-1], "size": shape[1]}
    if name in TWINS:
        own = set(inspect.signature(type(backbone)).parameters) - {"dtype", "parent", "name"}
        options = {key: getattr(backbone, key) for key in own}
        return options | {"channels": shape[-1], "stem_stride": stem_stride(shape[1])}
    raise UserError(f"--against torch: {name} has no twin in PyTorch; there are {', '.join(TWINS)}")
