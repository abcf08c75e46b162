"""ViT-B/16 of torchvision.

Dosovitskiy et al., *An Image is Worth 16x16 Words*, ICLR 2021.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from densitylab.worker.models.pretrained import imagenet_weights, load_matching

PATCH = 16


def vit_b16(
    channels: int,
    image_size: tuple[int, int],
    num_classes: int,
    *,
    patch_size: int = PATCH,
    pretrained: bool = False,
) -> nn.Module:
    """Return ViT-B: twelve blocks of 768 features and twelve heads on the patches and a class token.

    Args:
        channels: image channels.
        image_size: (height, width) in pixels, multiples of `patch_size`.
        num_classes: K, at least 2.
        patch_size: side of a patch in pixels: 16, or less for small images.
        pretrained: start from torchvision's ImageNet weights; the head is random, and so is the first convolution
            unless there are 3 channels. Positions of other sizes than 224×224 are interpolated bicubically.

    Returns:
        A module (N, channels, height, width) -> logits (N, num_classes).

    Raises:
        ValueError: the patch does not divide the image.
        NoPretrainedWeights: pretrained, without access to the weights.
    """
    height, width = image_size
    if height % patch_size or width % patch_size:
        raise ValueError(
            f"patch_size {patch_size} does not divide the image of {height}×{width} pixels: choose a divisor"
        )
    network = VisionTransformerB(channels, (height // patch_size, width // patch_size), num_classes, patch_size)
    if pretrained:
        weights = imagenet_weights("vit_b_16")
        name = "encoder.pos_embedding"
        weights = {**weights, name: interpolated_positions(weights[name], network.grid)}
        fresh = ("heads.",) if channels == 3 and patch_size == PATCH else ("heads.", "conv_proj.")
        load_matching(network.body, weights, fresh=fresh)
    return network


class VisionTransformerB(nn.Module):
    """Torchvision's network for any grid of patches, with attention by plain products, which has second derivatives."""

    def __init__(self, channels: int, grid: tuple[int, int], num_classes: int, patch_size: int) -> None:
        from torchvision.models import VisionTransformer  # slow to import

        super().__init__()
        self.grid = grid
        self.body = VisionTransformer(
            image_size=patch_size,  # of a single token; the positions follow
            patch_size=patch_size,
            num_layers=12,
            num_heads=12,
            hidden_dim=768,
            mlp_dim=3072,
            num_classes=num_classes,
        )
        if channels != 3:
            self.body.conv_proj = nn.Conv2d(channels, 768, patch_size, stride=patch_size)
        positions = torch.empty(1, 1 + grid[0] * grid[1], 768).normal_(std=0.02)
        self.body.encoder.pos_embedding = nn.Parameter(positions)
        nn.init.trunc_normal_(self.body.heads.head.weight, std=0.02)  # torchvision's zeros give one logit for all

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, K)."""
        patches = self.body.conv_proj(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.body.class_token.expand(len(x), -1, -1), patches], dim=1)
        with sdpa_kernel(SDPBackend.MATH):
            return self.body.heads(self.body.encoder(tokens)[:, 0])


def interpolated_positions(positions: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Return (1, 1 + h · w, D) positions for a grid (h, w), from a square one's; the first is the class token's."""
    side = round((positions.shape[1] - 1) ** 0.5)
    if grid == (side, side):
        return positions
    square = positions[:, 1:].transpose(1, 2).unflatten(2, (side, side))
    resized = F.interpolate(square, size=grid, mode="bicubic", align_corners=True)
    return torch.cat([positions[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)
