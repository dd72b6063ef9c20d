"""PyTorch as a rival in turns: the same weights and batch, in its own process."""

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from expressnet_jax.bench.worker import Peer
from expressnet_jax.errors import UserError
from expressnet_jax.models.layers import stem_stride


class _Twin(NamedTuple):
    """The options of a backbone that its PyTorch twin takes, and those of which the twin has one value only."""

    options: tuple[str, ...] = ()
    fixed: dict[str, str | bool] = {}  # noqa: RUF012  nobody writes to it


# Backbone -> its twin in torch_networks.py. A test holds every option of the backbone to be in one of the two.
TWINS = {
    "ExpressNet": _Twin(
        ("widths", "depths", "stem_width", "reduction", "spatial_kernels"), {"attention": "channel_multi_scale"}
    ),
    "MobileNetV2": _Twin(("width", "features", "stages"), {"attention": "none", "published": False, "tokens": False}),
    "PlainCNN": _Twin(),
    "ResNet": _Twin(
        ("depths", "width"),
        {"block": "basic", "stem": "small", "attention": "none", "published": False, "tokens": False},
    ),
}


class TorchRival(Peer):
    """One PyTorch process: called with a number of steps it trains them and gives the seconds."""

    def __init__(self, folder: Path, dtype: str, environment: Mapping[str, str], exact: bool):
        super().__init__("expressnet_jax.bench.torch_worker", [str(folder), dtype], environment)
        self.exact = exact

    @classmethod
    def start(cls, stack: ExitStack, step, augment: Mapping[str, float] | None) -> dict[str, "TorchRival"]:
        """Return the rivals of a step, by title; they end with `stack`.

        PyTorch as it comes, in the step's own precision; on a CPU also with this process's allocator; and against a
        step in float32 also under bfloat16 autocast.

        Raises:
          UserError: the network has no twin in PyTorch, or PyTorch can't be imported.
        """
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _write(folder, step, augment)
        rivals = {}
        for title, (dtype, environment) in _settings(step.dtype).items():
            exact = not augment and step.dtype == dtype == "float32"
            rivals[title] = cls(folder, dtype, environment, exact)
            stack.callback(rivals[title].close)
        return rivals

    def check_loss(self, loss: float) -> None:
        """Raise UserError if the first losses differ, where they can be equal."""
        theirs = self.facts["loss"]
        if self.exact and abs(theirs - loss) > 1e-4:
            raise UserError(f"the networks are not the same: first loss {loss:.6f} here, {theirs:.6f} in PyTorch")


def _settings(dtype: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Return title -> (precision, environment) of the processes that a step in `dtype` is compared with."""
    plain = {k: v for k, v in os.environ.items() if k not in ("GLIBC_TUNABLES", "XLA_FLAGS")}
    settings = {"torch": (dtype, plain)}
    if "GLIBC_TUNABLES" in os.environ and jax.default_backend() == "cpu":
        tuned = plain | {"GLIBC_TUNABLES": os.environ["GLIBC_TUNABLES"]}
        settings["torch, same allocator"] = (dtype, tuned)
    if dtype == "float32":
        settings["torch, bf16 autocast"] = ("bfloat16", plain)
    return settings


def _write(folder: Path, step, augment: Mapping[str, float] | None) -> None:
    """Write what the other process builds: network.json and arrays.npz."""
    variables = {"params": step.state.params, "batch_stats": step.state.batch_stats}
    flat = jax.tree_util.tree_leaves_with_path(jax.device_get(variables))
    arrays = {"/".join(key.key for key in path): leaf for path, leaf in flat}
    np.savez(folder / "arrays.npz", images=step.images, labels=step.labels, **arrays)
    backbone = step.model.encoders["image"]()
    spec = {
        "backbone": type(backbone).__name__,
        "options": _options(backbone, step.images.shape),
        "num_classes": step.model.num_classes,
        "augment": dict(augment or {}),
        **step.recipe,
    }
    (folder / "network.json").write_text(json.dumps(spec))


def _options(backbone: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return the keyword arguments of the backbone's PyTorch twin, for images uint8[B,H,W,C] of `shape`.

    Raises:
      UserError: there is no such twin, or it does not have an option's value.
    """
    name = type(backbone).__name__
    if name not in TWINS:
        raise UserError(f"--against torch: {name} has no twin in PyTorch; there are {', '.join(TWINS)}")
    for option, only in TWINS[name].fixed.items():
        if (value := getattr(backbone, option)) != only:
            raise UserError(
                f"--against torch: {name} with {option}={value} has no twin in PyTorch; leave out the option: {only}"
            )
    if name == "PlainCNN":
        return {"channels": shape[-1], "size": shape[1]}
    options = {option: getattr(backbone, option) for option in TWINS[name].options}
    return options | {"channels": shape[-1], "stem_stride": stem_stride(shape[1])}
