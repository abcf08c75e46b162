"""ResNet-18, ResNet-34 and ResNet-50.

He, Zhang, Ren, Sun, *Deep Residual Learning for Image Recognition*, CVPR 2016.
"""

from __future__ import annotations

import torch
from torch import nn

from densitylab.worker.models.activations import activation_layer
from densitylab.worker.models.layers import initialise_convolutions, norm_layers, pooling_class
from densitylab.worker.models.pretrained import NoPretrainedWeights, imagenet_weights, load_matching

LARGE = 96  # shorter side in pixels from which the stem is that for ImageNet
WIDTHS = (64, 128, 256, 512)


def resnet18(
    channels: int,
    image_size: tuple[int, int],
    num_classes: int,
    *,
    activation: str = "relu",
    pooling: str = "average",
    norm: str = "batch",
    pretrained: bool = False,
) -> nn.Module:
    """Return ResNet-18, with a stem for the image size.

    From 96 pixels a side the stem is a 7×7 convolution of stride 2 and a 3×3 pooling of stride 2, as in the paper;
    below, only a 3×3 convolution. With norm "none" the last convolution of each residual branch is initialised with 0,
    so that the network starts as a chain of identities.

    Args:
        channels: image channels.
        image_size: (height, width) in pixels, at least 8 each.
        num_classes: K, at least 2.
        activation: "relu", "gelu", "silu" or "softplus".
        pooling: "max" (the paper's) or "average", in the stem for large images; small images have none.
        norm: "none", "batch" or "group", after each convolution.
        pretrained: start from torchvision's ImageNet weights; the head is random, and so is the first convolution
            for small images or without 3 channels.

    Returns:
        A module (N, channels, height, width) -> logits (N, num_classes).

    Raises:
        ValueError: for an unknown activation, pooling or norm.
        NoPretrainedWeights: pretrained with another norm than batch, or without access to the weights.
    """
    network = ResNet((2, 2, 2, 2), channels, image_size, num_classes, activation, pooling, norm)
    if pretrained:
        _load(network, "resnet18", norm)
    return network


def resnet34(
    channels: int,
    image_size: tuple[int, int],
    num_classes: int,
    *,
    activation: str = "relu",
    pooling: str = "average",
    norm: str = "batch",
    pretrained: bool = False,
) -> nn.Module:
    """Return ResNet-34; otherwise as `resnet18`."""
    network = ResNet((3, 4, 6, 3), channels, image_size, num_classes, activation, pooling, norm)
    if pretrained:
        _load(network, "resnet34", norm)
    return network


def resnet50(
    channels: int,
    image_size: tuple[int, int],
    num_classes: int,
    *,
    activation: str = "relu",
    pooling: str = "average",
    norm: str = "batch",
    pretrained: bool = False,
) -> nn.Module:
    """Return ResNet-50, of bottleneck blocks; otherwise as `resnet18`.

    A block halves the image in its 3×3 convolution, as torchvision's does, and not in its first one as in the paper.
    """
    network = ResNet((3, 4, 6, 3), channels, image_size, num_classes, activation, pooling, norm, block=Bottleneck)
    if pretrained:
        _load(network, "resnet50", norm)
    return network


class ResNet(nn.Module):
    """Stem, four stages of blocks, mean over positions and linear head, with torchvision's parameter names."""

    def __init__(
        self,
        blocks: tuple[int, ...],
        channels: int,
        image_size: tuple[int, int],
        num_classes: int,
        activation: str,
        pooling: str,
        norm: str,
        block: type[BasicBlock | Bottleneck] | None = None,
    ) -> None:
        super().__init__()
        block = block or BasicBlock
        pool = pooling_class(pooling)
        large = min(image_size) >= LARGE
        kernel, stride = (7, 2) if large else (3, 1)
        self.conv1 = nn.Conv2d(channels, WIDTHS[0], kernel, stride, padding=kernel // 2, bias=norm == "none")
        self.bn1 = _norm(norm, WIDTHS[0])
        self.act = activation_layer(activation)
        self.pool = pool(3, stride=2, padding=1) if large else nn.Identity()
        stages = []
        in_channels = WIDTHS[0]
        for stage, (width, count) in enumerate(zip(WIDTHS, blocks, strict=True)):
            stack = []
            for number in range(count):
                stack.append(block(in_channels, width, 2 if stage > 0 and number == 0 else 1, activation, norm))
                in_channels = width * block.expansion
            stages.append(nn.Sequential(*stack))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.fc = nn.Linear(in_channels, num_classes)
        initialise_convolutions(self)
        if norm == "none":
            for layer in self.modules():
                if isinstance(layer, BasicBlock | Bottleneck):
                    last = layer.conv3 if isinstance(layer, Bottleneck) else layer.conv2
                    for parameter in last.parameters():
                        nn.init.zeros_(parameter)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, K)."""
        x = self.pool(self.act(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))


class BasicBlock(nn.Module):
    """x + two 3×3 convolutions; if the shape changes, a 1×1 convolution of x instead of x."""

    expansion = 1  # channels of the result over `width`

    def __init__(self, in_channels: int, width: int, stride: int, activation: str, norm: str) -> None:
        super().__init__()
        bias = norm == "none"
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=bias)
        self.bn1 = _norm(norm, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.bn2 = _norm(norm, width)
        self.act = activation_layer(activation)
        self.downsample = _shortcut(in_channels, width, stride, norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, h, w) to (N, width, h / stride, w / stride)."""
        branch = self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))
        return self.act(branch + self.downsample(x))


class Bottleneck(nn.Module):
    """x + three convolutions, 1×1, 3×3 and 1×1, the last to four times the width; shortcut as in `BasicBlock`."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, activation: str, norm: str) -> None:
        super().__init__()
        bias, wide = norm == "none", 4 * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=bias)
        self.bn1 = _norm(norm, width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=bias)
        self.bn2 = _norm(norm, width)
        self.conv3 = nn.Conv2d(width, wide, 1, bias=bias)
        self.bn3 = _norm(norm, wide)
        self.act = activation_layer(activation)
        self.downsample = _shortcut(in_channels, wide, stride, norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, h, w) to (N, 4 · width, h / stride, w / stride)."""
        branch = self.act(self.bn2(self.conv2(self.act(self.bn1(self.conv1(x))))))
        return self.act(self.bn3(self.conv3(branch)) + self.downsample(x))


def _shortcut(in_channels: int, channels: int, stride: int, norm: str) -> nn.Module:
    if stride == 1 and in_channels == channels:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=norm == "none"), *norm_layers(norm, channels))


def _norm(name: str, channels: int) -> nn.Module:
    layers = norm_layers(name, channels)
    return layers[0] if layers else nn.Identity()


def _load(network: ResNet, name: str, norm: str) -> None:
    if norm != "batch":
        raise NoPretrainedWeights(f"there are pretrained weights of {name} with norm batch, not with {norm}")
    weights = imagenet_weights(name)
    fits = network.conv1.weight.shape == weights["conv1.weight"].shape
    load_matching(network, weights, fresh=("fc.",) if fits else ("fc.", "conv1."))
