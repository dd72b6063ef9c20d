"""The project's networks in PyTorch, child for child under the same names: the peer that speed is compared with.

Shapes as PyTorch has them: B batch, C channels, H height, W width, in channels_last memory. Pixel values 0..255.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BatchNorm = partial(nn.BatchNorm2d, eps=1e-5, momentum=0.1)


class Conv(nn.Conv2d):
    """A convolution padded as XLA's SAME: with a stride, the odd pixel goes below and to the right."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = False, groups: int = 1):
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding, bias=bias, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] > 1:
            k, s = self.kernel_size[0], self.stride[0]
            missing = [max((-(-n // s) - 1) * s + k - n, 0) for n in (x.shape[3], x.shape[2])]
            x = F.pad(x, [part for total in missing for part in (total // 2, total - total // 2)])
        return super().forward(x)


class ChannelAttention(nn.Module):
    def __init__(self, channels: int, reduction: int):
        super().__init__()
        self.squeeze = nn.Linear(channels, max(channels // reduction, 4))
        self.excite = nn.Linear(self.squeeze.out_features, channels)

    def forward(self, x: Tensor) -> Tensor:
        perceptron = lambda pooled: self.excite(F.relu(self.squeeze(pooled)))
        weight = torch.sigmoid(perceptron(x.mean((2, 3))) + perceptron(x.amax((2, 3))))
        return x * weight[:, :, None, None]


class MultiScaleSpatialAttention(nn.Module):
    def __init__(self, kernels: list[int]):
        super().__init__()
        for k in kernels:
            self.add_module(f"field_{k}", Conv(2, 1, k, bias=True))
        self.share = nn.Parameter(torch.zeros(len(kernels)))
        self.norm = BatchNorm(1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        fields = [field(pooled) for name, field in self.named_children() if name.startswith("field")]
        share = torch.softmax(self.share, 0)
        return x * (2 * torch.sigmoid(self.norm(sum(s * field for s, field in zip(share, fields, strict=True)))))


class ChannelSpatialAttention(nn.Module):
    def __init__(self, channels: int, reduction: int, kernels: list[int]):
        super().__init__()
        self.channel = ChannelAttention(channels, reduction)
        self.spatial = MultiScaleSpatialAttention(kernels)

    def forward(self, x: Tensor) -> Tensor:
        return self.spatial(self.channel(x))


class ResidualBlock(nn.Module):
    def __init__(self, inputs: int, filters: int, stride: int, attention: nn.Module | None, average: bool = True):
        super().__init__()
        average = average and stride > 1
        self.pool = (
            partial(F.avg_pool2d, kernel_size=stride, ceil_mode=True, count_include_pad=False) if average else None
        )
        self.conv_1, self.norm_1 = Conv(inputs, filters, 3, stride), BatchNorm(filters)
        self.conv_2, self.norm_2 = Conv(filters, filters, 3), BatchNorm(filters)
        self.attention = attention
        stride = 1 if average else stride
        if inputs != filters or stride > 1:
            self.conv_shortcut, self.norm_shortcut = Conv(inputs, filters, 1, stride), BatchNorm(filters)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm_2(self.conv_2(F.relu(self.norm_1(self.conv_1(x)))))
        if self.attention is not None:
            y = self.attention(y)
        if self.pool is not None:
            x = self.pool(x)
        if hasattr(self, "conv_shortcut"):
            x = self.norm_shortcut(self.conv_shortcut(x))
        return F.relu(y + x)


class ExpressNet(nn.Module):
    def __init__(self, channels, widths, depths, stem_width, reduction, spatial_kernels, stem_stride):
        super().__init__()
        self.stem, self.stem_norm = Conv(channels, stem_width, 3, stem_stride), BatchNorm(stem_width)
        self.stages, inputs = [], stem_width
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
            names = [f"stage{stage}_block{i}" for i in range(1, depth + 1)]
            for i, name in enumerate(names, start=1):
                attention = ChannelSpatialAttention(width, reduction, spatial_kernels) if i == depth else None
                self.add_module(name, ResidualBlock(inputs, width, 2 if i == 1 else 1, attention))
                inputs = width
            self.stages.append(names)
        self.out_features = widths[-2] + widths[-1]

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.stem_norm(self.stem(images / 127.5 - 1)))
        pooled = []
        for names in self.stages:
            for name in names:
                x = getattr(self, name)(x)
            pooled.append(x.mean((2, 3)))
        return torch.cat(pooled[-2:], 1)


class ResNet(nn.Module):
    def __init__(self, channels, depths, width, stem_stride):
        super().__init__()
        self.stem, self.stem_norm = Conv(channels, width, 3, stem_stride), BatchNorm(width)
        self.blocks, inputs = [], width
        for stage, depth in enumerate(depths):
            for i in range(depth):
                stride = 2 if stage > 0 and i == 0 else 1
                self.blocks.append(f"stage{stage + 1}_block{i + 1}")
                self.add_module(self.blocks[-1], ResidualBlock(inputs, width * 2**stage, stride, None, average=False))
                inputs = width * 2**stage
        self.out_features = inputs

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.stem_norm(self.stem(images / 127.5 - 1)))
        for name in self.blocks:
            x = getattr(self, name)(x)
        return x.mean((2, 3))


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, filters: int, expansion: int, stride: int):
        super().__init__()
        inner = inputs * expansion
        self.expands = expansion > 1
        if self.expands:
            self.expand, self.norm_expand = Conv(inputs, inner, 1), BatchNorm(inner)
        self.depthwise, self.norm_depthwise = Conv(inner, inner, 3, stride, groups=inner), BatchNorm(inner)
        self.project, self.norm_project = Conv(inner, filters, 1), BatchNorm(filters)
        self.identity = stride == 1 and inputs == filters

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.norm_expand(self.expand(x))) if self.expands else x
        y = F.relu6(self.norm_depthwise(self.depthwise(y)))
        y = self.norm_project(self.project(y))
        return x + y if self.identity else y


class MobileNetV2(nn.Module):
    def __init__(self, channels, width, features, stages, stem_stride):
        super().__init__()
        wide = lambda count: max(8, int(count * width + 4) // 8 * 8)
        self.stem, self.stem_norm = Conv(channels, wide(32), 3, stem_stride), BatchNorm(wide(32))
        self.blocks, inputs = [], wide(32)
        for stage, (expansion, filters, depth, stride) in enumerate(stages, start=1):
            for i in range(1, depth + 1):
                self.blocks.append(f"stage{stage}_block{i}")
                block = InvertedResidual(inputs, wide(filters), expansion, stride if i == 1 else 1)
                self.add_module(self.blocks[-1], block)
                inputs = wide(filters)
        self.last, self.last_norm = Conv(inputs, features, 1), BatchNorm(features)
        self.out_features = features

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu6(self.stem_norm(self.stem(images / 127.5 - 1)))
        for name in self.blocks:
            x = getattr(self, name)(x)
        return F.relu6(self.last_norm(self.last(x))).mean((2, 3))


class PlainCNN(nn.Module):
    def __init__(self, channels: int, size: int):
        super().__init__()
        for i, (inputs, filters) in enumerate([(channels, 32), (32, 64), (64, 128)], start=1):
            self.add_module(f"conv_{i}", Conv(inputs, filters, 3, bias=True))
        self.dense_1, self.dense_2 = nn.Linear((size // 8) ** 2 * 128, 128), nn.Linear(128, 64)
        self.out_features = 64

    def forward(self, images: Tensor) -> Tensor:
        x = images / 255
        for conv in (self.conv_1, self.conv_2, self.conv_3):
            x = F.max_pool2d(F.relu(conv(x)), 2)
        x = x.permute(0, 2, 3, 1).flatten(1)  # as the linen network flattens: its dense kernel is carried over
        return F.relu(self.dense_2(F.relu(self.dense_1(x))))


class Classifier(nn.Module):
    def __init__(self, backbone: nn.Module, num_classes: int):
        super().__init__()
        self.backbone, self.head = backbone, nn.Linear(backbone.out_features, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images))


NETWORKS = {"ExpressNet": ExpressNet, "PlainCNN": PlainCNN, "ResNet": ResNet, "MobileNetV2": MobileNetV2}
