"""Small convolutional network: two stages of two 3×3 convolutions, pooled, then one hidden layer."""

from __future__ import annotations

from torch import nn

from densitylab.worker.models.activations import activation_layer
from densitylab.worker.models.layers import norm_layers, pooling_class


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
    """Return a small CNN; the hidden layer has 4 · width units.

    Args:
        channels: image channels.
        image_size: (height, width) in pixels, at least 4 each.
        num_classes: K, at least 2.
        width: channels of the first stage; the second has twice as many.
        activation: "relu", "gelu", "silu" or "softplus".
        pooling: "max" or "average", 2×2 after each stage.
        norm: "none", "batch" or "group" (groups of up to 8), after each convolution.
        dropout: fraction of the hidden layer's units set to 0 while training, in [0, 1).

    Returns:
        A module (N, channels, height, width) -> logits (N, num_classes).

    Raises:
        ValueError: for an unknown pooling, norm or activation.
    """
    pool = pooling_class(pooling)
    stack: list[nn.Module] = []
    in_channels = channels
    for stage in (width, 2 * width):
        for _ in range(2):
            stack += [
                nn.Conv2d(in_channels, stage, 3, padding=1),
                *norm_layers(norm, stage),
                activation_layer(activation),
            ]
            in_channels = stage
        stack.append(pool(2))
    features = in_channels * (image_size[0] // 4) * (image_size[1] // 4)
    stack += [nn.Flatten(), nn.Linear(features, 4 * width), activation_layer(activation)]
    if dropout > 0:
        stack.append(nn.Dropout(dropout))
    return nn.Sequential(*stack, nn.Linear(4 * width, num_classes))
