"""ConvNeXt-Tiny of torchvision.

Liu, Mao, Wu, Feichtenhofer, Darrell, Xie, *A ConvNet for the 2020s*, CVPR 2022.
"""

from __future__ import annotations

from torch import nn

from densitylab.worker.models.pretrained import imagenet_weights, load_matching


def convnext_tiny(
    channels: int,
    image_size: tuple[int, int],
    num_classes: int,
    *,
    pretrained: bool = False,
) -> nn.Module:
    """Return ConvNeXt-Tiny, whose first convolution takes 4×4 patches; images shrink to 1/32 of their side.

    Args:
        channels: image channels.
        image_size: (height, width) in pixels, at least 32 each; no weight depends on it.
        num_classes: K, at least 2.
        pretrained: start from torchvision's ImageNet weights; the head is random, and so is the first convolution
            unless there are 3 channels.

    Returns:
        A module (N, channels, height, width) -> logits (N, num_classes).

    Raises:
        NoPretrainedWeights: pretrained, without access to the weights.
    """
    from torchvision.models import convnext_tiny as published  # slow to import

    network = published(weights=None, num_classes=num_classes)
    if channels != 3:
        first = network.features[0][0]
        network.features[0][0] = nn.Conv2d(channels, first.out_channels, 4, stride=4)
        nn.init.trunc_normal_(network.features[0][0].weight, std=0.02)
        nn.init.zeros_(network.features[0][0].bias)
    if pretrained:
        fresh = ("classifier.2.",) if channels == 3 else ("classifier.2.", "features.0.0.")
        load_matching(network, imagenet_weights("convnext_tiny"), fresh=fresh)
    return network
