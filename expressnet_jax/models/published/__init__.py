"""NAMINGS: class of backbone -> the ways in which published weights name its tensors. A further one is a line here."""

import flax.linen as nn

from expressnet_jax.models.published.naming import Naming
from expressnet_jax.models.published.torchvision import RESNET
from expressnet_jax.models.resnet import ResNet

NAMINGS: dict[type[nn.Module], tuple[Naming, ...]] = {
    ResNet: (RESNET,),
}
