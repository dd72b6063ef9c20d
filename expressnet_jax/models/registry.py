"""MODELS: name -> backbone factory. A new model is one file and one line here."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.core import FrozenDict
from jax.typing import DTypeLike

from expressnet_jax.errors import UserError
from expressnet_jax.models.alexnet import AlexNet
from expressnet_jax.models.attention import check_attention
from expressnet_jax.models.csam_vgg import CSAMVGG
from expressnet_jax.models.efficientnet import EfficientNet
from expressnet_jax.models.explainable_cnn import ExplainableCNN
from expressnet_jax.models.expressnet import ExpressNet
from expressnet_jax.models.ghost_resnet import GhostResNet
from expressnet_jax.models.mini_xception import MiniXception
from expressnet_jax.models.mobilenet import MobileNetV2
from expressnet_jax.models.network import MAIN, Head, Network, check_heads
from expressnet_jax.models.occlusion_aware import OcclusionAware
from expressnet_jax.models.plain_cnn import PlainCNN
from expressnet_jax.models.resnet import ResNet
from expressnet_jax.models.temporal import POOLS, PerFrame
from expressnet_jax.models.vgg import VGG, VGG11, VGG16, VGG19

MODELS: dict[str, Callable[..., nn.Module]] = {
    "expressnet_tiny": partial(ExpressNet, widths=(16, 32, 64), depths=(1, 2, 2), stem_width=8),
    "expressnet_small": partial(ExpressNet, widths=(48, 96, 192)),
    "expressnet_base": partial(ExpressNet, widths=(96, 192, 384), depths=(2, 2, 3), stem_width=32),
    "plain_cnn": PlainCNN,
    "resnet18": ResNet,
    "resnet34": partial(ResNet, depths=(3, 4, 6, 3)),
    "resnet50": partial(ResNet, depths=(3, 4, 6, 3), block="bottleneck"),
    "attention_cnn": partial(ResNet, attention="cbam"),
    "mobilenet_v2": MobileNetV2,
    "efficientnet_b0": EfficientNet,
    "efficientnet_b2": partial(EfficientNet, width=1.1, depth=1.2),
    "alexnet": AlexNet,
    "mini_xception": MiniXception,
    "explainable_cnn": ExplainableCNN,
    "occlusion_aware": OcclusionAware,
    "vgg11": partial(VGG, depths=VGG11),
    "vgg16": partial(VGG, depths=VGG16),
    "vgg19": partial(VGG, depths=VGG19),
    "csam_vgg": CSAMVGG,
    "ghost_resnet": GhostResNet,
}
_NOT_OPTIONS = {"parent", "name", "dtype"}


def create_model(
    name: str,
    heads: int | Mapping[str, Head],
    /,
    *,
    dropout: float = 0.0,
    temporal: str = "none",
    dtype: DTypeLike = jnp.float32,
    **options,
) -> Network:
    """Return a network by name: the backbone with its options, and heads; a number is one head of so many classes.

    With `temporal`, a name in POOLS, it takes clips: the backbone sees each frame, and the pool joins them. Parameters
    are float32, arithmetic `dtype`.

    Raises:
      UserError: an unknown name, head, option or attention; the message lists the valid ones.
    """
    if name not in MODELS:
        raise UserError(f"model.name: no model {name!r}; one of {', '.join(MODELS)}")
    heads = {MAIN: Head((heads,))} if isinstance(heads, int) else heads
    check_heads(heads)
    factory = MODELS[name]
    valid = set(inspect.signature(factory).parameters) - _NOT_OPTIONS
    if wrong := sorted(set(options) - valid):
        raise UserError(f"model.options: {name} has no {wrong[0]!r}; it has {', '.join(sorted(valid)) or 'none'}")
    if "attention" in options:
        check_attention(options["attention"])
    backbone: Any = partial(factory, dtype=dtype, **options)
    if temporal == "none":
        return Network(FrozenDict({"image": backbone}), FrozenDict(heads), dropout)
    if temporal not in POOLS:
        raise UserError(f"model.temporal: no {temporal!r}; one of none, {', '.join(POOLS)}")
    clip_encoder = partial(per_frame, backbone, temporal, dtype)
    return Network(FrozenDict({"clip": clip_encoder}), FrozenDict(heads), dropout)


def per_frame(backbone: Callable[[], nn.Module], pool: str, dtype: DTypeLike) -> PerFrame:
    """Return the clip encoder of an image backbone."""
    return PerFrame(backbone(), pool, dtype=dtype)
