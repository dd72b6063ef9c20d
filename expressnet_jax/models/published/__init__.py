"""NAMINGS: class of backbone -> the ways in which published weights name its tensors. A further one is a line here."""

import flax.linen as nn

from expressnet_jax.models.convnext import ConvNeXt
from expressnet_jax.models.efficientnet import EfficientNet
from expressnet_jax.models.face_recognition import IR, MobileFaceNet
from expressnet_jax.models.mobilenet import MobileNetV2
from expressnet_jax.models.mobilenet_v3 import MobileNetV3
from expressnet_jax.models.published import arcface, timm, torchvision
from expressnet_jax.models.published.naming import Naming
from expressnet_jax.models.resnet import ResNet
from expressnet_jax.models.vgg import VGG
from expressnet_jax.models.vit import ViT

NAMINGS: dict[type[nn.Module], tuple[Naming, ...]] = {
    ResNet: (torchvision.RESNET,),
    VGG: (torchvision.VGG_BN, torchvision.TIMM_VGG_BN),
    MobileNetV2: (torchvision.MOBILENET_V2, timm.MOBILENET_V2),
    MobileNetV3: (torchvision.MOBILENET_V3, timm.MOBILENET_V3),
    EfficientNet: (torchvision.EFFICIENTNET, timm.EFFICIENTNET),
    ConvNeXt: (timm.CONVNEXT, torchvision.CONVNEXT),
    ViT: (timm.VIT, torchvision.VIT, torchvision.VIT_FILES),
    IR: (arcface.INSIGHTFACE, arcface.EVOLVE),
    MobileFaceNet: (arcface.MOBILEFACENET,),
}
