"""The residual network for CIFAR of He et al., *Deep Residual Learning for Image Recognition*, 2016, section 4.2."""

import torch.nn.functional as F
from torch import nn


def build(channels, image_size, num_classes, *, n=3):
    """Return a network of 6n + 2 layers.

    Args:
        channels: image channels.
        image_size: (height, width) in pixels, at least 8 each.
        num_classes: K.
        n: residual blocks in each of the three stages; 3 gives ResNet-20.

    Returns:
        A module (N, channels, height, width) -> logits (N, num_classes).
    """
    return CifarResNet(channels, num_classes, n)


class CifarResNet(nn.Module):
    """Three stages of 16, 32 and 64 channels, the last two of which halve the image."""

    def __init__(self, channels, num_classes, n):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, n)
        self.layer2 = _stage(16, 32, n)
        self.layer3 = _stage(32, 64, n)
        self.linear = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut without parameters: subsampling, and zeros for the new channels."""

    def __init__(self, before, after):
        super().__init__()
        self.stride, self.added = after // before, after - before
        self.conv1 = nn.Conv2d(before, after, 3, stride=self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.added:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.added // 2, self.added // 2))
        return F.relu(x + y)


def _stage(before, after, blocks):
    return nn.Sequential(Block(before, after), *(Block(after, after) for _ in range(blocks - 1)))
