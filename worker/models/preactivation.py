"""Residual networks with norm and activation before each convolution: PreAct-ResNet-18 and WideResNet-28-10.

He, Zhang, Ren, Sun, *Identity Mappings in Deep Residual Networks*, ECCV 2016; Zagoruyko, Komodakis, *Wide Residual
Networks*, BMVC 2016. Both are built for 32×32 pixels and have no published ImageNet weights.
"""

from __future__ import annotations

import torch
from torch import nn

from densitylab.worker.models.activations import activation_layer
from densitylab.worker.models.layers import initialise_convolutions, norm_layers


def preact_resnet18(
    channels: int,
    image_size: tuple[int, int],
    num_classes: int,
    *,
    activation: str = "relu",
    norm: str = "batch",
) -> nn.Module:
    """Return PreAct-ResNet-18: a 3×3 convolution and four stages of two blocks, 64 to 512 channels.

    Args:
        channels: image channels.
        image_size: (height, width) in pixels, at least 8 each; no weight depends on it.
        num_classes: K, at least 2.
        activation: "relu", "gelu", "silu" or "softplus".
        norm: "none", "batch" or "group".

    Returns:
        A module (N, channels, height, width) -> logits (N, num_classes).

    Raises:
        ValueError: for an unknown activation or norm.
    """
    return PreActivationNetwork(channels, num_classes, 64, (64, 128, 256, 512), 2, activation, norm, 0.0)


def wide_resnet28_10(
    channels: int,
    image_size: tuple[int, int],
    num_classes: int,
    *,
    activation: str = "relu",
    norm: str = "batch",
    dropout: float = 0.0,
) -> nn.Module:
    """Return WideResNet-28-10: a 3×3 convolution to 16 channels and three stages of four blocks, 160 to 640 channels.

    Args:
        channels: image channels.
        image_size: (height, width) in pixels, at least 8 each; no weight depends on it.
        num_classes: K, at least 2.
        activation: "relu", "gelu", "silu" or "softplus".
        norm: "none", "batch" or "group".
        dropout: fraction set to 0 between the convolutions of a block while training, in [0, 1); the paper's is 0.3
            or 0.

    Returns:
        A module (N, channels, height, width) -> logits (N, num_classes).

    Raises:
        ValueError: for an unknown activation or norm.
    """
    return PreActivationNetwork(channels, num_classes, 16, (160, 320, 640), 4, activation, norm, dropout)


class PreActivationNetwork(nn.Module):
    """A convolution, stages of blocks, norm and activation, the mean over positions and a linear head."""

    def __init__(
        self,
        channels: int,
        num_classes: int,
        first: int,
        widths: tuple[int, ...],
        blocks: int,
        activation: str,
        norm: str,
        dropout: float,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, first, 3, padding=1, bias=False)
        stages = []
        in_channels = first
        for stage, width in enumerate(widths):
            stack = []
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                stack.append(PreActivationBlock(in_channels, width, stride, activation, norm, dropout))
                in_channels = width
            stages.append(nn.Sequential(*stack))
        self.stages = nn.Sequential(*stages)
        self.end = nn.Sequential(*norm_layers(norm, in_channels), activation_layer(activation))
        self.fc = nn.Linear(in_channels, num_classes)
        initialise_convolutions(self)
        if norm == "none":
            for layer in self.modules():
                if isinstance(layer, PreActivationBlock):
                    nn.init.zeros_(layer.conv2.weight)  # the network begins as a chain of shortcuts

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, K)."""
        return self.fc(self.end(self.stages(self.conv1(x))).mean(dim=(2, 3)))


class PreActivationBlock(nn.Module):
    """x + conv(a(conv(a(x)))), a = norm and activation; if the shape changes, a 1×1 convolution of a(x), not x."""

    def __init__(self, in_channels: int, width: int, stride: int, activation: str, norm: str, dropout: float) -> None:
        super().__init__()
        self.before1 = nn.Sequential(*norm_layers(norm, in_channels), activation_layer(activation))
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.before2 = nn.Sequential(*norm_layers(norm, width), activation_layer(activation), nn.Dropout(dropout))
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        changes = stride != 1 or in_channels != width
        self.shortcut = nn.Conv2d(in_channels, width, 1, stride, bias=False) if changes else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, in_channels, h, w) to (N, width, h / stride, w / stride)."""
        active = self.before1(x)
        kept = x if self.shortcut is None else self.shortcut(active)
        return kept + self.conv2(self.before2(self.conv1(active)))
