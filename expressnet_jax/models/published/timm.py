"""The names that timm gives where torchvision has others."""

import math
from collections.abc import Sequence

from expressnet_jax.models.convnext import ConvNeXt
from expressnet_jax.models.efficientnet import EfficientNet
from expressnet_jax.models.mobilenet import MobileNetV2
from expressnet_jax.models.mobilenet_v3 import MobileNetV3, Row
from expressnet_jax.models.published.naming import NONE, Naming, convnext_modules
from expressnet_jax.models.vit import ViT


def _separable(stages: Sequence[tuple[int, int]]) -> dict[str, str]:
    """Return the names of inverted residuals, for stages of (expansion, blocks), with the stem and the last layer."""
    names = {"stem": "conv_stem", "stem_norm": "bn1", "last": "conv_head", "last_norm": "bn2"}
    for stage, (expansion, depth) in enumerate(stages):
        for i in range(depth):
            names |= _block(f"stage{stage + 1}_block{i + 1}", f"blocks.{stage}.{i}", expansion > 1)
    return names


def _block(ours: str, theirs: str, expands: bool) -> dict[str, str]:
    layers = {"depthwise": "conv_dw", "project": "conv_pw"}
    if expands:
        layers = {"expand": "conv_pw", "depthwise": "conv_dw", "project": "conv_pwl"}
    names = {f"{ours}/{layer}": f"{theirs}.{name}" for layer, name in layers.items()}
    names |= {f"{ours}/norm_{layer}": f"{theirs}.bn{k}" for k, layer in enumerate(layers, start=1)}
    excitation = {"squeeze": "conv_reduce", "excite": "conv_expand"}
    return names | {f"{ours}/attention/{layer}": f"{theirs}.se.{name}" for layer, name in excitation.items()}


def _mobilenet_v3(backbone: MobileNetV3) -> dict[str, str]:
    """Return the names; a stage are the rows that give as many channels."""
    names, inputs, stage, i = {"stem": "conv_stem", "stem_norm": "bn1", "dense": "conv_head"}, 16, 0, 0
    for number, row in enumerate(map(_row, backbone.rows), start=1):
        stage, i = (stage, i + 1) if number > 1 and row.filters == inputs else (stage + (number > 1), 0)
        names |= _block(f"block{number}", f"blocks.{stage}.{i}", row.inside != inputs)
        inputs = row.filters
    return names | {"last": f"blocks.{stage + 1}.0.conv", "last_norm": f"blocks.{stage + 1}.0.bn1"}


def _row(row: Sequence) -> Row:
    return Row(*row)


def _convnext(backbone: ConvNeXt) -> dict[str, str]:
    names = {"stage1_patches": "stem.0", "stage1_norm": "stem.1", "last_norm": "head.norm"}
    layers = {"depthwise": "conv_dw", "depthwise_bias": "conv_dw.bias", "norm": "norm", "layer_scale": "gamma"}
    layers |= {"expand": "mlp.fc1", "project": "mlp.fc2"}
    blocks, between = lambda stage: f"stages.{stage}.blocks", lambda stage: f"stages.{stage}.downsample"
    return names | convnext_modules(backbone.depths, layers, blocks, between)


def _vit(backbone: ViT) -> dict[str, str]:
    names = {"tokens/class_token": "cls_token", "tokens/positions": "pos_embed", "tokens/registers": "reg_token"}
    names |= {"patches": "patch_embed.proj", "last_norm": "norm"}
    layers = {"norm_1": "norm1", "norm_2": "norm2", "qkv": "attn.qkv", "gather": "attn.proj"}
    layers |= {"expand": "mlp.fc1", "project": "mlp.fc2"}
    for i in range(backbone.depth):
        names |= {f"block{i + 1}/{layer}": f"blocks.{i}.{name}" for layer, name in layers.items()}
    return names


def _mobilenet_v2(backbone: MobileNetV2) -> dict[str, str]:
    return _separable([(expansion, depth) for expansion, _, depth, _ in backbone.stages])


def _efficientnet(backbone: EfficientNet) -> dict[str, str]:
    stages = backbone.stages
    return _separable([(expansion, math.ceil(depth * backbone.depth)) for expansion, _, depth, _, _ in stages])


MOBILENET_V2 = Naming("timm", _mobilenet_v2, "classifier")
EFFICIENTNET = Naming("timm", _efficientnet, "classifier", pointwise=lambda backbone: "attention.*kernel$")
MOBILENET_V3 = Naming("timm", _mobilenet_v3, "classifier", pointwise=lambda backbone: "(attention.*|^dense)/kernel$")
# The published atto has convolutions where the others have dense layers.
CONVNEXT = Naming(
    "timm", _convnext, "head.fc", pointwise=lambda net: "/(expand|project)/kernel$" if net.widths[0] < 96 else NONE
)
VIT = Naming("timm", _vit, "head", options={})
