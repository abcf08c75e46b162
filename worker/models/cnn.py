"""Small convolutional network: two stages of two 3×3 convolutions, pooled, then one hidden layer."""

from __future__ import annotations

from math import gcd

from torch import nn

from worker.models.activations import activation_layer

POOLINGS: dict[str, type[nn.Module]] = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}


def build(
    channels: int,
    image_size: tuple[int, int],
    num_classes: int,
    *,
    width: int = 32,
    activation: str = "relu",
    pooling: str = "max",
    norm: str = "none",
    dropout: float = 0.0,
) -> nn.Module:
    """A small CNN; the hidden layer has 4 · width units.

    Args:
        channels: image channels.
        image_size: (height, width) in pixels, at least 4 each.
        num_classes: K, at least 2.
        width: channels of the first stage; the second has twice as many.
        activation: "relu", "gelu", "silu" or "softplus".
        pooling: "max" or "average", 2×2 after each stage.
        norm: "none", "batch" or "group" (groups of up to 8), after each convolution.
        dropout: share of the hidden layer's units set to 0 while training, in [0, 1).

    Returns:
        A module (N, channels, height, width) -> logits (N, num_classes).

    Raises:
        ValueError: for an unknown pooling, norm or activation.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
    stack: list[nn.Module] = []
    before = channels
    for stage in (width, 2 * width):
        for _ in range(2):
            stack += [nn.Conv2d(before, stage, 3, padding=1), *_norm_layer(norm, stage), activation_layer(activation)]
            before = stage
        stack.append(POOLINGS[pooling](2))
    features = before * (image_size[0] // 4) * (image_size[1] // 4)
    stack += [nn.Flatten(), nn.Linear(features, 4 * width), activation_layer(activation)]
    if dropout > 0:
        stack.append(nn.Dropout(dropout))
    return nn.Sequential(*stack, nn.Linear(4 * width, num_classes))


def _norm_layer(norm: str, channels: int) -> list[nn.Module]:
    if norm == "none":
        return []
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    if norm == "group":
        return [nn.GroupNorm(gcd(channels, 8), channels)]
    raise ValueError(f"norm must be none, batch or group, got {norm!r}")
