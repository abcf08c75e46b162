"""VGG11: eight 3×3 convolutions with five poolings between them.

Simonyan & Zisserman, *Very Deep Convolutional Networks for Large-Scale Image Recognition*, ICLR 2015,
configuration A, with one linear layer on the averaged features instead of three fully connected ones.
"""

from __future__ import annotations

from torch import nn

from densitylab.worker.models.activations import activation_layer
from densitylab.worker.models.layers import initialise_convolutions, norm_layers, pooling_class
from densitylab.worker.models.pretrained import NoPretrainedWeights, imagenet_weights, load_matching

WIDTH = 64  # channels of the first stage as published
STAGES = ((1,), (2,), (4, 4), (8, 8), (8, 8))  # channels of each convolution, in widths


def vgg11(
    channels: int,
    image_size: tuple[int, int],
    num_classes: int,
    *,
    width: int = WIDTH,
    activation: str = "relu",
    pooling: str = "max",
    norm: str = "none",
    dropout: float = 0.0,
    pretrained: bool = False,
) -> nn.Module:
    """Return VGG11 for images of any size; sides that are not multiples of 32 are rounded up at each pooling.

    Args:
        channels: image channels.
        image_size: (height, width) in pixels, at least 16 each; no weight depends on it.
        num_classes: K, at least 2.
        width: channels of the first stage; the last has eight times as many.
        activation: "relu", "gelu", "silu" or "softplus".
        pooling: "max" or "average", 2×2 after each of the five stages.
        norm: "none", "batch" or "group", after each convolution.
        dropout: fraction of the 8 · width averaged features set to 0 while training, in [0, 1).
        pretrained: start from torchvision's ImageNet weights; the head is random, and so is the first convolution
            unless there are 3 channels.

    Returns:
        A module (N, channels, height, width) -> logits (N, num_classes).

    Raises:
        ValueError: for an unknown activation, pooling or norm.
        NoPretrainedWeights: pretrained with another width than 64, another norm than none and batch, or without access
            to the weights.
    """
    pool = pooling_class(pooling)
    features: list[nn.Module] = []
    in_channels = channels
    for stage in STAGES:
        for widths in stage:
            out_channels = widths * width
            features += [
                nn.Conv2d(in_channels, out_channels, 3, padding=1),
                *norm_layers(norm, out_channels),
                activation_layer(activation),
            ]
            in_channels = out_channels
        features.append(pool(2, ceil_mode=True))
    network = nn.Sequential()
    network.add_module("features", nn.Sequential(*features))
    network.add_module("pool", nn.AdaptiveAvgPool2d(1))
    network.add_module("flatten", nn.Flatten())
    if dropout > 0:
        network.add_module("dropout", nn.Dropout(dropout))
    network.add_module("head", nn.Linear(in_channels, num_classes))
    initialise_convolutions(network)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
    if pretrained:
        _load(network, width, norm, channels)
    return network


def _load(network: nn.Module, width: int, norm: str, channels: int) -> None:
    if width != WIDTH:
        raise NoPretrainedWeights(f"there are pretrained weights of VGG11 with width {WIDTH}, not with {width}")
    published = {"none": "vgg11", "batch": "vgg11_bn"}
    if norm not in published:
        raise NoPretrainedWeights(f"there are pretrained weights of VGG11 with norm none and batch, not with {norm}")
    weights = imagenet_weights(published[norm])
    weights = {name: value for name, value in weights.items() if not name.startswith("classifier.")}
    load_matching(network, weights, fresh=("head.",) if channels == 3 else ("head.", "features.0."))
