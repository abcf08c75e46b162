"""ResNet-18 and ResNet-34.

He, Zhang, Ren, Sun, *Deep Residual Learning for Image Recognition*, CVPR 2016.
"""

from __future__ import annotations

import torch
from torch import nn

from worker.models.activations import activation_layer
from worker.models.layers import norm_layers, pooling_class
from worker.models.pretrained import NoPretrainedWeights, imagenet_weights, load_matching

LARGE = 96  # shorter side in pixels from which the stem is that of ImageNet
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
    """ResNet-18, with a stem that suits the image size.

    From 96 pixels a side on the stem is a 7×7 convolution of stride 2 and a 3×3 pooling of stride 2, as in the
    paper; below, a 3×3 convolution alone. With norm "none" the last convolution of each residual branch begins at 0,
    so that the network begins as a chain of identities.

    Args:
        channels: image channels.
        image_size: (height, width) in pixels, at least 8 each.
        num_classes: K, at least 2.
        activation: "relu", "gelu", "silu" or "softplus".
        pooling: "max" (the paper's) or "average", in the stem for large images; small images have none.
        norm: "none", "batch" or "group", after each convolution.
        pretrained: begin with torchvision's ImageNet weights; the head stays random, and so does the first
            convolution on small images or where there are not 3 channels.

    Returns:
        A module (N, channels, height, width) -> logits (N, num_classes).

    Raises:
        ValueError: for an unknown activation, pooling or norm.
        NoPretrainedWeights: pretrained with another norm than batch, or not to be had.
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
    """ResNet-34; otherwise as `resnet18`."""
    network = ResNet((3, 4, 6, 3), channels, image_size, num_classes, activation, pooling, norm)
    if pretrained:
        _load(network, "resnet34", norm)
    return network


class ResNet(nn.Module):
    """Stem, four stages of basic blocks, the mean over positions and a linear head; named as torchvision's are."""

    def __init__(
        self,
        blocks: tuple[int, ...],
        channels: int,
        image_size: tuple[int, int],
        num_classes: int,
        activation: str,
        pooling: str,
        norm: str,
    ) -> None:
        super().__init__()
        pool = pooling_class(pooling)
        large = min(image_size) >= LARGE
        kernel, stride = (7, 2) if large else (3, 1)
        self.conv1 = nn.Conv2d(channels, WIDTHS[0], kernel, stride, padding=kernel // 2, bias=norm == "none")
        self.bn1 = _norm(norm, WIDTHS[0])
        self.act = activation_layer(activation)
        self.pool = pool(3, stride=2, padding=1) if large else nn.Identity()
        before = WIDTHS[0]
        for stage, (width, count) in enumerate(zip(WIDTHS, blocks, strict=True)):
            stack = []
            for block in range(count):
                stack.append(BasicBlock(before, width, 2 if stage > 0 and block == 0 else 1, activation, norm))
                before = width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*stack))
        self.fc = nn.Linear(before, num_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if norm == "none":
            for layer in self.modules():
                if isinstance(layer, BasicBlock):
                    nn.init.zeros_(layer.conv2.weight)
                    nn.init.zeros_(layer.conv2.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, K)."""
        x = self.pool(self.act(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))


class BasicBlock(nn.Module):
    """x + two 3×3 convolutions; where the shape changes, a 1×1 convolution of x instead of x."""

    def __init__(self, before: int, width: int, stride: int, activation: str, norm: str) -> None:
        super().__init__()
        bias = norm == "none"
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=bias)
        self.bn1 = _norm(norm, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.bn2 = _norm(norm, width)
        self.act = activation_layer(activation)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or before != width:
            self.downsample = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=bias), *norm_layers(norm, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, before, h, w) -> (N, width, h / stride, w / stride)."""
        branch = self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))
        return self.act(branch + self.downsample(x))


def _norm(name: str, channels: int) -> nn.Module:
    layers = norm_layers(name, channels)
    return layers[0] if layers else nn.Identity()


def _load(network: ResNet, name: str, norm: str) -> None:
    if norm != "batch":
        raise NoPretrainedWeights(f"there are pretrained weights of {name} with norm batch, not with {norm}")
    weights = imagenet_weights(name)
    fits = network.conv1.weight.shape == weights["conv1.weight"].shape
    load_matching(network, weights, fresh=("fc.",) if fits else ("fc.", "conv1."))
