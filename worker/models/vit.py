"""A small vision transformer.

Dosovitskiy et al., *An Image is Worth 16x16 Words*, ICLR 2021, with the mean over tokens instead of a class token.
Attention is written out as matrix products and a softmax: torch's fused kernels have no second derivative, which
every penalty on an input gradient needs.
"""

from __future__ import annotations

import torch
from torch import nn

from densitylab.worker.models.activations import activation_layer

HEAD = 32  # features of one attention head


def build(
    channels: int,
    image_size: tuple[int, int],
    num_classes: int,
    *,
    patch_size: int = 4,
    width: int = 128,
    depth: int = 6,
    activation: str = "gelu",
    dropout: float = 0.0,
) -> nn.Module:
    """Return a vision transformer with heads of 32 features, layer norm first, and learned positions.

    Args:
        channels: image channels.
        image_size: (height, width) in pixels, multiples of `patch_size`.
        num_classes: K, at least 2.
        patch_size: side of a patch in pixels; each patch is one token.
        width: features of a token, a multiple of 32.
        depth: number of blocks, at least 1.
        activation: "relu", "gelu", "silu" or "softplus", between the two layers of each block's MLP.
        dropout: fraction set to 0 after each attention and each MLP while training, in [0, 1).

    Returns:
        A module (N, channels, height, width) -> logits (N, num_classes).

    Raises:
        ValueError: the image is not a multiple of the patch or the width not of 32, or the activation is unknown.
    """
    return VisionTransformer(channels, image_size, num_classes, patch_size, width, depth, activation, dropout)


class VisionTransformer(nn.Module):
    """Patches as tokens, blocks of attention and MLP, the mean over tokens, and a linear head."""

    def __init__(
        self,
        channels: int,
        image_size: tuple[int, int],
        num_classes: int,
        patch_size: int,
        width: int,
        depth: int,
        activation: str,
        dropout: float,
    ) -> None:
        super().__init__()
        height, breadth = image_size
        if height % patch_size or breadth % patch_size:
            raise ValueError(
                f"patch_size {patch_size} does not divide the image of {height}×{breadth} pixels: choose a divisor"
            )
        if width % HEAD:
            raise ValueError(f"width must be a multiple of {HEAD}, got {width}")
        tokens = (height // patch_size) * (breadth // patch_size)
        self.patches = nn.Conv2d(channels, width, patch_size, stride=patch_size)
        self.positions = nn.Parameter(0.02 * torch.randn(1, tokens, width))
        self.blocks = nn.Sequential(*(Block(width, activation, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, K)."""
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.blocks(tokens)).mean(dim=1))


class Block(nn.Module):
    """t + attention(norm t), then t + MLP(norm t)."""

    def __init__(self, width: int, activation: str, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), activation_layer(activation), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map (N, tokens, width) to the same shape."""
        tokens = tokens + self.dropout(self.attention(self.norm1(tokens)))
        return tokens + self.dropout(self.mlp(self.norm2(tokens)))


class Attention(nn.Module):
    """softmax(q kᵀ / √32) v of each head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map (N, tokens, width) to the same shape."""
        n, count, width = tokens.shape
        q, k, v = self.qkv(tokens).view(n, count, 3, width // HEAD, HEAD).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-2, -1) / HEAD**0.5, dim=-1)
        return self.out((weights @ v).transpose(1, 2).reshape(n, count, width))
