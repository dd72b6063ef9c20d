"""The names that torchvision gives; timm has the same for residual networks and VGG."""

import math
from functools import partial
from itertools import count

from expressnet_jax.models.convnext import ConvNeXt
from expressnet_jax.models.efficientnet import EfficientNet
from expressnet_jax.models.mobilenet import MobileNetV2
from expressnet_jax.models.mobilenet_v3 import MobileNetV3, Row
from expressnet_jax.models.published.naming import Naming, convnext_modules
from expressnet_jax.models.resnet import ResNet
from expressnet_jax.models.vgg import VGG
from expressnet_jax.models.vit import ViT


def _resnet(backbone: ResNet) -> dict[str, str]:
    names = {"stem": "conv1", "stem_norm": "bn1"}
    for stage, depth in enumerate(backbone.depths, start=1):
        for i in range(depth):
            ours, theirs = f"stage{stage}_block{i + 1}", f"layer{stage}.{i}"
            names |= {f"{ours}/conv_{k}": f"{theirs}.conv{k}" for k in (1, 2, 3)}
            names |= {f"{ours}/norm_{k}": f"{theirs}.bn{k}" for k in (1, 2, 3)}
            names |= {f"{ours}/conv_shortcut": f"{theirs}.downsample.0"}
            names |= {f"{ours}/norm_shortcut": f"{theirs}.downsample.1"}
    return names


def _vgg(backbone: VGG) -> dict[str, str]:
    names, place = {}, count()  # of a convolution, a normalisation, a ReLU, ..., and a pooling behind each stage
    for stage, depth in enumerate(backbone.depths, start=1):
        for i in range(1, depth + 1):
            names[f"stage{stage}_conv{i}"] = f"features.{next(place)}"
            names[f"stage{stage}_norm{i}"] = f"features.{next(place)}"
            next(place)
        next(place)
    return names


def _vgg_biases(backbone: VGG) -> dict[str, str]:
    names = _vgg(backbone)
    return {ours: names[ours.replace("norm", "conv")] for ours in names if "norm" in ours}


def _first_and_last(last: int) -> dict[str, str]:
    names = {"stem": "features.0.0", "stem_norm": "features.0.1"}
    return names | {"last": f"features.{last}.0", "last_norm": f"features.{last}.1"}


def _inverted_residual(ours: str, theirs: str, expands: bool, attends: bool, last: str = ".0") -> dict[str, str]:
    """Return the names of a block whose layers are numbered: [expand], depthwise, [attention], project.

    `last` is what is behind the number of the last one, where the others have `.0`: torchvision's first network has
    that layer bare, and the normalisation numbered behind it.
    """
    place = count()
    names: dict[str, str] = {}
    for layer in ("expand", "depthwise") if expands else ("depthwise",):
        names |= _convolution(ours, layer, f"{theirs}.{(number := next(place))}.0", f"{theirs}.{number}.1")
    if attends:
        number = next(place)
        names |= {
            f"{ours}/attention/squeeze": f"{theirs}.{number}.fc1",
            f"{ours}/attention/excite": f"{theirs}.{number}.fc2",
        }
    number = next(place)
    norm = f"{theirs}.{number}.1" if last else f"{theirs}.{number + 1}"
    return names | _convolution(ours, "project", f"{theirs}.{number}{last}", norm)


def _convolution(ours: str, layer: str, convolution: str, norm: str) -> dict[str, str]:
    return {f"{ours}/{layer}": convolution, f"{ours}/norm_{layer}": norm}


def _mobilenet_v2(backbone: MobileNetV2) -> dict[str, str]:
    names: dict[str, str] = {}
    place = count(1)
    for stage, (expansion, _, depth, _) in enumerate(backbone.stages, start=1):
        for i in range(1, depth + 1):
            ours, theirs = f"stage{stage}_block{i}", f"features.{next(place)}.conv"
            names |= _inverted_residual(ours, theirs, expansion > 1, attends=False, last="")
    return names | _first_and_last(next(place))


def _efficientnet(backbone: EfficientNet) -> dict[str, str]:
    names = _first_and_last(len(backbone.stages) + 1)
    for stage, (expansion, _, depth, _, _) in enumerate(backbone.stages, start=1):
        for i in range(math.ceil(depth * backbone.depth)):
            ours, theirs = f"stage{stage}_block{i + 1}", f"features.{stage}.{i}.block"
            names |= _inverted_residual(ours, theirs, expansion > 1, attends=True)
    return names


def _mobilenet_v3(backbone: MobileNetV3) -> dict[str, str]:
    names, inputs = _first_and_last(len(backbone.rows) + 1) | {"dense": "classifier.0"}, 16
    for i, row in enumerate(backbone.rows, start=1):
        row = Row(*row)
        names |= _inverted_residual(f"block{i}", f"features.{i}.block", row.inside != inputs, row.attends)
        inputs = row.filters
    return names


def _convnext(backbone: ConvNeXt) -> dict[str, str]:
    names = {"stage1_patches": "features.0.0", "stage1_norm": "features.0.1", "last_norm": "classifier.0"}
    layers = {"depthwise": "block.0", "depthwise_bias": "block.0.bias", "norm": "block.2"}
    layers |= {"expand": "block.3", "project": "block.5", "layer_scale": "layer_scale"}
    blocks, between = lambda stage: f"features.{2 * stage + 1}", lambda stage: f"features.{2 * stage}"
    return names | convnext_modules(backbone.depths, layers, blocks, between)


def _vit(backbone: ViT, expand: str = "mlp.0", project: str = "mlp.3") -> dict[str, str]:
    names = {"tokens/class_token": "class_token", "tokens/positions": "encoder.pos_embedding"}
    names |= {"patches": "conv_proj", "last_norm": "encoder.ln"}
    layers = {"norm_1": "ln_1", "norm_2": "ln_2", "gather": "self_attention.out_proj"}
    layers |= {"qkv/kernel": "self_attention.in_proj_weight", "qkv/bias": "self_attention.in_proj_bias"}
    layers |= {"expand": expand, "project": project}
    for i in range(backbone.depth):
        theirs = f"encoder.layers.encoder_layer_{i}"
        names |= {f"block{i + 1}/{layer}": f"{theirs}.{name}" for layer, name in layers.items()}
    return names


RESNET = Naming("torchvision, timm", _resnet, "fc")
VGG_BN = Naming("torchvision", _vgg, "classifier.6", biases=_vgg_biases)
TIMM_VGG_BN = VGG_BN._replace(source="timm", head="head.fc")
MOBILENET_V2 = Naming("torchvision", _mobilenet_v2, "classifier.1")
EFFICIENTNET = Naming("torchvision", _efficientnet, "classifier.1", pointwise=lambda backbone: "attention.*kernel$")
MOBILENET_V3 = Naming(
    "torchvision", _mobilenet_v3, "classifier.3", epsilon=1e-3, pointwise=lambda backbone: "attention.*kernel$"
)
CONVNEXT = Naming("torchvision", _convnext, "classifier.2", pointwise=lambda backbone: "layer_scale$")
VIT = Naming("torchvision", _vit, "heads.head", options={"pixels": "imagenet"})
# The published files have the names of the first release; a network of today renames them as it loads them.
VIT_FILES = VIT._replace(
    source="torchvision's files", modules=partial(_vit, expand="mlp.linear_1", project="mlp.linear_2")
)
