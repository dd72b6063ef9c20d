"""Weights of a network without compiling how Flax draws them, which costs more than most of what they are used for."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from expressnet_jax.models.inspect import example_shape
from expressnet_jax.models.registry import MODELS, create_model, input_kind

# Options under which a network is the same code, and quicker to compile and to run.
SMALLER = {
    "resnet18": {"width": 8, "depths": (1, 2)},
    "mobilenet_v2": {"width": 0.5, "stages": ((1, 16, 1, 1), (6, 24, 2, 2))},
    "resnet34": {"width": 8, "depths": (1, 2)},
    "resnet50": {"width": 8, "depths": (1, 2)},
    "attention_cnn": {"width": 8, "depths": (1, 1)},
    "efficientnet_b0": {"width": 0.5, "stages": ((1, 16, 1, 1, 3), (6, 24, 2, 2, 5))},
    "efficientnet_b2": {"depth": 1.2, "stages": ((1, 16, 1, 1, 3), (6, 24, 1, 2, 5))},
    "mobilenet_v3_small": {"rows": ((3, 16, 16, True, False, 2), (5, 24, 24, False, True, 1)), "features": 24},
    "mobilenet_v3_large": {"rows": ((3, 24, 16, True, True, 1),), "features": 24},
    "convnext_atto": {"depths": (1, 1), "widths": (8, 16)},
    "convnext_tiny": {"depths": (1, 1), "widths": (8, 16)},
    "vit_tiny": {"width": 12, "depth": 1},
    "vit_small": {"width": 12, "heads": 2, "depth": 1},
    "ir18": {"width": 4, "depths": (2, 1), "embedding": 8},
    "ir50": {"width": 4, "depths": (2, 1), "embedding": 8},
    "mobilefacenet": {"stages": ((8, 12, 12, 1),), "width": 8, "last": 16, "embedding": 8},
    "ddamfn": {"stages": ((8, ((3, 8), (5, 4)), ((3, 12),), 1),), "width": 8, "last": 16},
    "alexnet": {"widths": (16, 24, 32, 24, 16), "features": 32},
    "mini_xception": {"widths": (16, 32)},
    "explainable_cnn": {"widths": (8, 16, 24), "features": 32},
    "occlusion_aware": {"widths": (8, 16, 24), "depths": (1, 1, 1), "region_features": 32},
    "vgg11": {"width": 8},
    "vgg16": {"width": 8},
    "vgg19": {"width": 8},
    "csam_vgg": {"widths": (16, 32)},
    "ghost_resnet": {"widths": (16, 32), "depths": (1, 2)},
    "c3d": {"widths": (4, 6, 8)},
    "r3d18": {"width": 4, "depths": (1, 1)},
    "r2plus1d18": {"width": 4, "depths": (1, 1)},
    "audio_cnn": {"widths": (4, 8, 12)},
    "audio_cnn_lstm": {"widths": (4, 8, 12), "hidden": 6},
    "text_cnn": {"vocabulary": 256, "embedding": 6, "filters": 5},
    "text_gru": {"vocabulary": 256, "embedding": 6, "hidden": 5},
}

TWO_STAGES = {"widths": (8, 12), "depths": (1, 1), "stem_width": 8}  # options of an ExpressNet


# Of the same layers as mobilenet_v2 and ir18, or compiled by a test of its own: left out where every network is
# compiled, which takes seconds each.
ALIKE = ("mobilenet_v3_small", "mobilefacenet", "ddamfn")


def first_of_each_kind() -> list[str]:
    """A name for every class and form of backbone: the others are the same code at another width or depth."""
    kinds: dict[tuple, str] = {}
    for name in MODELS:
        (make_backbone,) = create_model(name, 7).encoders.values()
        backbone = make_backbone()
        form = tuple(getattr(backbone, option, None) for option in ("block", "attention", "pool", "kind"))
        kinds.setdefault((type(backbone), *form), name)
    return [name for name in kinds.values() if name not in ALIKE]


def small_shape(name: str, side: int = 48, channels: int = 1) -> tuple[int, ...]:
    """The shape of one example of what a network takes: an image of that size, four frames of a third of it, half a
    second of sound, six pieces of a text, or values."""
    if input_kind(name) == "clip":
        return 4, side // 3, side // 3, channels
    known = {"waveform": (8_000,), "tokens": (6,)}
    return known.get(input_kind(name)) or example_shape(name, (side, side, channels))


def shapes_of(model: nn.Module, shape: Sequence[int]) -> Any:
    """The variables' shapes for examples of this shape, N first."""
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(tuple(shape)))


def drawn_weights(model: nn.Module, shape: Sequence[int], seed: int = 1) -> dict[str, Any]:
    """Variables with no zero among them: a scale that starts at zero would hide what comes before it."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        if leaf.ndim > 1:
            return rng.normal(0, np.prod(leaf.shape[:-1]) ** -0.5, leaf.shape).astype(leaf.dtype)
        positive = path[-1].key in ("scale", "var")
        return rng.uniform(0.5 if positive else -0.1, 1.0 if positive else 0.1, leaf.shape).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes_of(model, shape))


def logits(model: nn.Module, variables: Any, images: Any, *args: Any, **kwargs: Any) -> Any:
    """The main head's output for images [N,H,W,C]."""
    return model.apply(variables, images, *args, **kwargs).heads[model.main]
