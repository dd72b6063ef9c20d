"""MODELS: name -> backbone factory. A new model is one file and one line here."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.core import FrozenDict
from jax.typing import DTypeLike

from expressnet_jax.errors import UserError
from expressnet_jax.models.alexnet import AlexNet
from expressnet_jax.models.attention import check_attention
from expressnet_jax.models.audio import AudioCNN
from expressnet_jax.models.c3d import C3D
from expressnet_jax.models.convnext import ConvNeXt
from expressnet_jax.models.csam_vgg import CSAMVGG
from expressnet_jax.models.ddamfn import DDAMFN
from expressnet_jax.models.efficientnet import EfficientNet
from expressnet_jax.models.explainable_cnn import ExplainableCNN
from expressnet_jax.models.expressnet import ExpressNet
from expressnet_jax.models.face_recognition import IR, MobileFaceNet
from expressnet_jax.models.fusion import FUSIONS, joins_tokens
from expressnet_jax.models.ghost_resnet import GhostResNet
from expressnet_jax.models.landmark import LandmarkGCN, LandmarkMLP
from expressnet_jax.models.mini_xception import MiniXception
from expressnet_jax.models.mobilenet import MobileNetV2
from expressnet_jax.models.mobilenet_v3 import SMALL, MobileNetV3
from expressnet_jax.models.network import MAIN, Head, Network, check_heads
from expressnet_jax.models.occlusion_aware import OcclusionAware
from expressnet_jax.models.plain_cnn import PlainCNN
from expressnet_jax.models.pointnet import PointNet
from expressnet_jax.models.resnet import ResNet
from expressnet_jax.models.ststnet import STSTNet
from expressnet_jax.models.temporal import POOLS, PerFrame
from expressnet_jax.models.text import TextCNN, TextGRU
from expressnet_jax.models.vector import VectorMLP
from expressnet_jax.models.vgg import VGG, VGG11, VGG16, VGG19
from expressnet_jax.models.video_resnet import VideoResNet
from expressnet_jax.models.vit import ViT

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
    "mobilenet_v3_small": partial(MobileNetV3, rows=SMALL, features=1024),
    "mobilenet_v3_large": MobileNetV3,
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
    "convnext_atto": partial(ConvNeXt, depths=(2, 2, 6, 2), widths=(40, 80, 160, 320)),
    "convnext_tiny": ConvNeXt,
    "vit_tiny": ViT,
    "vit_small": partial(ViT, width=384, heads=6),
    "ir18": IR,
    "ir50": partial(IR, depths=(3, 4, 14, 3)),
    "mobilefacenet": MobileFaceNet,
    "ddamfn": DDAMFN,
    "audio_cnn": AudioCNN,
    "audio_cnn_lstm": partial(AudioCNN, pool="lstm"),
    "text_cnn": TextCNN,
    "text_gru": TextGRU,
    "vector_mlp": VectorMLP,
    "ststnet": STSTNet,
    "c3d": C3D,
    "r3d18": VideoResNet,
    "r2plus1d18": partial(VideoResNet, kind="2+1d"),
    "landmark_mlp": LandmarkMLP,
    "landmark_gcn": LandmarkGCN,
    "pointnet": PointNet,
}
_NOT_OPTIONS = {"parent", "name", "dtype", "tokens"}


def input_kind(name: str) -> str:
    """Return what a model takes: "image" unless its module says otherwise by `input_kind`; a kind of field, or "flow",
    which is an image of optical flow."""
    factory = MODELS[name]
    return getattr(getattr(factory, "func", factory), "input_kind", "image")


def models_of(kind: str) -> list[str]:
    """Return the names of the models that take a kind of field."""
    return [name for name in MODELS if input_kind(name) == kind]


def create_model(
    name: str,
    heads: int | Mapping[str, Head],
    /,
    *,
    dropout: float = 0.0,
    temporal: str = "none",
    input: str = "",
    encoders: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    fusion: str = "concatenate",
    modality_dropout: float = 0.0,
    dtype: DTypeLike = jnp.float32,
    **options,
) -> Network:
    """Return a network by name: the backbone with its options, and heads; a number is one head of so many classes.

    With `temporal`, a name in POOLS, it takes clips: the backbone sees each frame, and the pool joins them. `input` is
    what a batch calls its input, by default the kind that it takes. Further inputs have `encoders`, input name ->
    {"name": a model, and its options}; `fusion`, a name in FUSIONS, joins their features, and `modality_dropout` is
    that of Network. Parameters are float32, arithmetic `dtype`.

    Raises:
      UserError: an unknown name, head, option, attention or fusion; the message lists the valid ones.
    """
    heads = {MAIN: Head((heads,))} if isinstance(heads, int) else heads
    check_heads(heads)
    if fusion not in FUSIONS:
        raise UserError(f"model.fusion: no {fusion!r}; one of {', '.join(FUSIONS)}")
    if tokens := joins_tokens(fusion):
        _check_tokens(fusion, temporal, [name, *(given.get("name", "") for given in encoders.values())])
    makers = {input or default_input(name, temporal): _make_encoder(name, temporal, dtype, options, tokens=tokens)}
    for other, given in encoders.items():
        if other in makers or "name" not in given:
            raise UserError(f'model.encoders: {other}: give a further input a model, as in {{"name": "vector_mlp"}}')
        rest = {option: value for option, value in given.items() if option != "name"}
        makers[other] = _make_encoder(given["name"], "none", dtype, rest, f"model.encoders.{other}", tokens)
    return Network(FrozenDict(makers), FrozenDict(heads), dropout, FUSIONS[fusion], modality_dropout)


def _check_tokens(fusion: str, temporal: str, names: Sequence[str]) -> None:
    """Raise UserError unless all networks of a fusion of tokens give some."""
    giving = [name for name in MODELS if "tokens" in inspect.signature(MODELS[name]).parameters]
    if len(names) < 2:
        raise UserError(f"model.fusion: {fusion} joins the tokens of several inputs; add one to model.encoders")
    if temporal != "none":
        raise UserError(f"model.temporal: {temporal} gives no tokens, which model.fusion={fusion} joins; use none")
    if wrong := [name for name in names if name in MODELS and name not in giving]:
        raise UserError(f"model.fusion: {fusion} joins tokens, which {wrong[0]} has none of; {', '.join(giving)} do")


def default_input(name: str, temporal: str = "none") -> str:
    """Return what a batch calls the input of a model, where nothing else is said."""
    if temporal != "none":
        return "clip"
    kind = input_kind(name) if name in MODELS else "image"
    return "image" if kind == "flow" else kind  # flow and strain are stored as an image


def _make_encoder(
    name: str, temporal: str, dtype: DTypeLike, options: Mapping[str, Any], key: str = "model", tokens: bool = False
) -> Callable[[], nn.Module]:
    """Return what makes the encoder of one input, which gives its tokens or, as by default, a vector.

    Raises:
      UserError: an unknown name, option, attention or pool; the line begins with `key`.
    """
    if name not in MODELS:
        raise UserError(f"{key}.name: no model {name!r}; one of {', '.join(MODELS)}")
    factory = MODELS[name]
    valid = set(inspect.signature(factory).parameters) - _NOT_OPTIONS
    if wrong := sorted(set(options) - valid):
        raise UserError(f"{key}.options: {name} has no {wrong[0]!r}; it has {', '.join(sorted(valid)) or 'none'}")
    if "attention" in options:
        check_attention(options["attention"])
    backbone: Any = partial(factory, dtype=dtype, **options, **({"tokens": True} if tokens else {}))
    if temporal == "none":
        return backbone
    if temporal not in POOLS:
        raise UserError(f"model.temporal: no {temporal!r}; one of none, {', '.join(POOLS)}")
    if input_kind(name) != "image":
        raise UserError(f"model.temporal: {temporal} is about networks of images; {name} takes a {input_kind(name)}")
    return partial(per_frame, backbone, temporal, dtype)


def per_frame(backbone: Callable[[], nn.Module], pool: str, dtype: DTypeLike) -> PerFrame:
    """Return the clip encoder of an image backbone."""
    return PerFrame(backbone(), pool, dtype=dtype)
