"""The names that torchvision gives; timm has the same for residual networks and VGG."""

from expressnet_jax.models.published.naming import Naming
from expressnet_jax.models.resnet import ResNet


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


RESNET = Naming("torchvision, timm", _resnet, "fc")
