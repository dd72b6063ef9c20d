"""IR and MobileFaceNet in PyTorch, with the names and layers of InsightFace, face.evoLVe and InsightFace_Pytorch."""

from torch import nn


def _conv(inputs, outputs, kernel, stride=1, groups=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


class IBasicBlock(nn.Module):
    """InsightFace, recognition/arcface_torch/backbones/iresnet.py."""

    def __init__(self, inputs, planes, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), _conv(inputs, planes, 3)
        self.bn2, self.prelu = nn.BatchNorm2d(planes), nn.PReLU(planes)
        self.conv2, self.bn3 = _conv(planes, planes, 3, stride), nn.BatchNorm2d(planes)
        self.downsample = None
        if stride != 1 or inputs != planes:
            self.downsample = nn.Sequential(_conv(inputs, planes, 1, stride), nn.BatchNorm2d(planes))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        return self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x)))))) + identity


class IResNet(nn.Module):
    def __init__(self, depths):
        super().__init__()
        self.conv1, self.bn1, self.prelu = _conv(3, 64, 3), nn.BatchNorm2d(64), nn.PReLU(64)
        inputs = 64
        for stage, depth in enumerate(depths, start=1):
            planes, blocks = 32 * 2**stage, []
            for i in range(depth):
                blocks.append(IBasicBlock(inputs, planes, 1 if i else 2))
                inputs = planes
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.bn2, self.fc = nn.BatchNorm2d(512), nn.Linear(512 * 49, 512)
        self.features = nn.BatchNorm1d(512)

    def forward(self, x):
        x = self.prelu(self.bn1(self.conv1(x)))
        x = self.bn2(self.layer4(self.layer3(self.layer2(self.layer1(x)))))
        return self.features(self.fc(x.flatten(1)))


class BottleneckIR(nn.Module):
    """face.evoLVe, backbone/model_irse.py."""

    def __init__(self, inputs, depth, stride):
        super().__init__()
        self.shortcut_layer = nn.MaxPool2d(1, stride)
        if inputs != depth:
            self.shortcut_layer = nn.Sequential(_conv(inputs, depth, 1, stride), nn.BatchNorm2d(depth))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            _conv(inputs, depth, 3),
            nn.PReLU(depth),
            _conv(depth, depth, 3, stride),
            nn.BatchNorm2d(depth),
        )

    def forward(self, x):
        return self.res_layer(x) + self.shortcut_layer(x)


class EvolveIR(nn.Module):
    def __init__(self, depths):
        super().__init__()
        self.input_layer = nn.Sequential(_conv(3, 64, 3), nn.BatchNorm2d(64), nn.PReLU(64))
        widths = [64, *(32 * 2**stage for stage, depth in enumerate(depths, start=1) for _ in range(depth))]
        first = [i == 0 for depth in depths for i in range(depth)]
        blocks = [BottleneckIR(a, b, 1 + s) for a, b, s in zip(widths[:-1], widths[1:], first, strict=True)]
        self.body = nn.Sequential(*blocks)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(512), nn.Dropout(), nn.Flatten(), nn.Linear(512 * 49, 512), nn.BatchNorm1d(512)
        )

    def forward(self, x):
        return self.output_layer(self.body(self.input_layer(x)))


class ConvBlock(nn.Module):
    """InsightFace_Pytorch, model.py; Linear_block there is one without PReLU."""

    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1, linear=False, pad=True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2 * pad, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        if not linear:
            self.prelu = nn.PReLU(outputs)

    def forward(self, x):
        x = self.bn(self.conv(x))
        return self.prelu(x) if hasattr(self, "prelu") else x


class DepthWise(nn.Module):
    def __init__(self, inputs, outputs, groups, stride=2):
        super().__init__()
        self.conv = ConvBlock(inputs, groups)
        self.conv_dw = ConvBlock(groups, groups, 3, stride, groups)
        self.project = ConvBlock(groups, outputs, linear=True)
        self.residual = stride == 1

    def forward(self, x):
        y = self.project(self.conv_dw(self.conv(x)))
        return x + y if self.residual else y


class Residual(nn.Module):
    def __init__(self, channels, count, groups):
        super().__init__()
        self.model = nn.Sequential(*(DepthWise(channels, channels, groups, 1) for _ in range(count)))

    def forward(self, x):
        return self.model(x)


class MobileFaceNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2_dw = ConvBlock(3, 64, 3, 2), ConvBlock(64, 64, 3, 1, 64)
        self.conv_23, self.conv_3 = DepthWise(64, 64, 128), Residual(64, 4, 128)
        self.conv_34, self.conv_4 = DepthWise(64, 128, 256), Residual(128, 6, 256)
        self.conv_45, self.conv_5 = DepthWise(128, 128, 512), Residual(128, 2, 256)
        self.conv_6_sep = ConvBlock(128, 512)
        self.conv_6_dw = ConvBlock(512, 512, 7, 1, 512, linear=True, pad=False)
        self.linear, self.bn = nn.Linear(512, 512, bias=False), nn.BatchNorm1d(512)

    def forward(self, x):
        for part in list(self.children())[:-2]:
            x = part(x)
        return self.bn(self.linear(x.flatten(1)))
