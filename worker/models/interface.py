"""Layers around a network that was made for other conventions than the data set's: its images and its classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from densitylab.worker.models.normalise import Normalise


class InputAdapter(Normalise):
    """Images (N, C, H, W) in [0, 1] -> resized, in the network's order of channels and range of values, normalised.

    Args:
        mean: C means in the network's order, on the scale of its values.
        std: C standard deviations, likewise, above 0.
        reverse_channels: whether the network gets BGR.
        scale: of the network's values, 1 or 255.
        image_size: (height, width) of the network's images; None: as they are.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        reverse_channels: bool = False,
        scale: float = 1.0,
        image_size: Sequence[int] | None = None,
    ) -> None:
        super().__init__(mean, std)
        self._reversed = reverse_channels
        self._scale = scale
        self._size = None if image_size is None else list(image_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the network's input; images are resized bilinearly, with antialiasing."""
        if self._size is not None and list(x.shape[-2:]) != self._size:
            x = F.interpolate(x, size=self._size, mode="bilinear", antialias=True)
        if self._reversed:
            x = x.flip(1)
        return super().forward(x if self._scale == 1 else x * self._scale)


class SelectClasses(torch.nn.Module):
    """Logits of a network's outputs -> logits (N, K) of the data set's classes, in their order.

    Args:
        order: for each class of the data set the index of the network's output.
    """

    order: torch.Tensor

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("order", torch.tensor(order))

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logits of the selected outputs."""
        return logits[:, self.order]
