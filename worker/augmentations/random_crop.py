"""Random crops of padded images."""

from __future__ import annotations

import torch


def random_crop(images: torch.Tensor, *, padding: int = 4, generator: torch.Generator) -> torch.Tensor:
    """Return crops of the image's own size, at random positions of the image padded with black.

    The content moves by up to `padding` pixels in each direction (as for CIFAR: He et al. 2016).

    Args:
        images: (N, C, H, W), of any type, on any device; black is 0.
        padding: width of the padding in pixels, at least 0.
        generator: on the CPU, for the same draws on every device.

    Returns:
        New images like `images`.
    """
    count, _, height, width = images.shape
    corners = torch.randint(2 * padding + 1, (2, count, 1), generator=generator)
    framed = torch.nn.functional.pad(images, (padding,) * 4)
    rows = (corners[0] + torch.arange(height)).to(images.device)  # (N, H)
    columns = (corners[1] + torch.arange(width)).to(images.device)  # (N, W)
    each = torch.arange(count, device=images.device).view(-1, 1, 1)
    # this index moves the channels to the end
    return framed[each, :, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2)
