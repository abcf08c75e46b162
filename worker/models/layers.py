"""Layers that several networks offer by name."""

from __future__ import annotations

from math import gcd

from torch import nn

POOLINGS: dict[str, type[nn.Module]] = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}
NORMS = ("none", "batch", "group")


def pooling_class(name: str) -> type[nn.Module]:
    """The pooling layer of "max" or "average". Raises ValueError for another name."""
    if name not in POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {name!r}")
    return POOLINGS[name]


def norm_layers(name: str, channels: int) -> list[nn.Module]:
    """No layer for "none", else one for "batch" or "group" (of up to 8). Raises ValueError for another name."""
    if name not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}, got {name!r}")
    if name == "none":
        return []
    return [nn.BatchNorm2d(channels) if name == "batch" else nn.GroupNorm(gcd(channels, 8), channels)]
