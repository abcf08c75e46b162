"""Pooling and normalisation layers by name."""

from __future__ import annotations

from math import gcd

from torch import nn

POOLINGS: dict[str, type[nn.Module]] = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
NORMS = ("none", "batch", "group")


def pooling_class(name: str) -> type[nn.Module]:
    """Return the pooling layer of "max" or "average". Raises ValueError for another name."""
    if name not in POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {name!r}")
    return POOLINGS[name]


def initialise_convolutions(network: nn.Module) -> None:
    """Draw the weights of all convolutions from Kaiming's normal distribution (fan out, ReLU)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


def norm_layers(name: str, channels: int) -> list[nn.Module]:
    """Return no layer for "none", one for "batch" or "group" (of up to 8). Raises ValueError for another name."""
    if name not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}, got {name!r}")
    if name == "none":
        return []
    return [nn.BatchNorm2d(channels) if name == "batch" else nn.GroupNorm(gcd(channels, 8), channels)]
