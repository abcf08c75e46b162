"""log p along a line and on a plane through an image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from densitylab.worker.perturbations.gradient_step import direction

ROWS_AT_ONCE = 512  # images in one forward pass


def unit(vector: Tensor) -> Tensor:
    """Return the vector (C, H, W) scaled to L2 length 1; zero stays zero."""
    return vector / torch.linalg.vector_norm(vector).clamp_min(torch.finfo(vector.dtype).tiny)


def random_direction(like: Tensor, seed: int) -> Tensor:
    """Return a uniformly random unit vector, shaped like the image (C, H, W); the same for every model."""
    drawn = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=like.dtype)
    return unit(drawn.to(like.device))


def gradient_direction(model: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return ∇ log p(x) / ‖∇ log p(x)‖₂ at an image (C, H, W), zero if the gradient is zero."""
    return direction(lambda inputs: model(inputs).logsumexp(dim=1), x[None])[0]


def across(first: Tensor, second: Tensor) -> Tensor:
    """Return the component of `second` orthogonal to the unit vector `first`, scaled to L2 length 1."""
    return unit(second - (second * first).sum() * first)


def log_density(model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return logsumexp f of images (N, C, H, W), (N,) in float64: log p up to a constant of the model."""
    with torch.no_grad():
        return torch.cat([model(part).double().logsumexp(dim=1) for part in images.split(ROWS_AT_ONCE)])


def line(model: Callable[[Tensor], Tensor], x: Tensor, along: Tensor, distances: Tensor) -> Tensor:
    """Return (S,) log p(x + t·along) for the distances t (S,); pixels are not clamped, so the line is straight."""
    return log_density(model, x + distances[:, None, None, None] * along)


def plane(model: Callable[[Tensor], Tensor], x: Tensor, along: Tensor, aside: Tensor, distances: Tensor) -> Tensor:
    """Return (S, S) log p(x + t·along + u·aside), row u, column t, for the same distances."""
    steps = distances[:, None, None, None]
    return torch.stack([line(model, x + step * aside, along, distances) for step in steps])
