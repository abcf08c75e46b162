"""Fully connected network on flattened images."""

from __future__ import annotations

from torch import nn

from densitylab.worker.models.activations import activation_layer


def build(
    channels: int,
    image_size: tuple[int, int],
    num_classes: int,
    *,
    hidden: int = 512,
    layers: int = 2,
    activation: str = "relu",
    dropout: float = 0.0,
) -> nn.Module:
    """Return an MLP: `layers` times (linear, activation, dropout), then a linear head.

    Args:
        channels: image channels.
        image_size: (height, width) in pixels.
        num_classes: K, at least 2.
        hidden: units in each hidden layer.
        layers: number of hidden layers, at least 1.
        activation: "relu", "gelu", "silu" or "softplus".
        dropout: fraction of hidden units set to 0 while training, in [0, 1).

    Returns:
        A module (N, channels, height, width) -> logits (N, num_classes).
    """
    stack: list[nn.Module] = [nn.Flatten()]
    features = channels * image_size[0] * image_size[1]
    for _ in range(layers):
        stack += [nn.Linear(features, hidden), activation_layer(activation)]
        if dropout > 0:
            stack.append(nn.Dropout(dropout))
        features = hidden
    return nn.Sequential(*stack, nn.Linear(features, num_classes))
