"""log p along a line and on a plane through an image: what smoothing smooths."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from worker.perturbations.steps import direction

ROWS_AT_ONCE = 512  # images in one forward pass


def unit(vector: Tensor) -> Tensor:
    """The vector (C, H, W) at L2 length 1; zero stays zero."""
    return vector / torch.linalg.vector_norm(vector).clamp_min(torch.finfo(vector.dtype).tiny)


def random_direction(like: Tensor, seed: int) -> Tensor:
    """A direction uniform on the sphere, shaped like the image (C, H, W); the same for every model."""
    drawn = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=like.dtype)
    return unit(drawn.to(like.device))


def gradient_direction(model: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """∇ log p(x) / ‖∇ log p(x)‖₂ at an image (C, H, W): the model's own; zero where the gradient is."""
    return direction(lambda inputs: model(inputs).logsumexp(dim=1), x[None])[0]


def across(first: Tensor, second: Tensor) -> Tensor:
    """The part of `second` at right angles to the unit vector `first`, at L2 length 1."""
    return unit(second - (second * first).sum() * first)


def log_density(model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """logsumexp f of images (N, C, H, W), in float64: log p up to a constant of the model's own."""
    with torch.no_grad():
        return torch.cat([model(part).double().logsumexp(dim=1) for part in images.split(ROWS_AT_ONCE)])


def line(model: Callable[[Tensor], Tensor], x: Tensor, along: Tensor, distances: Tensor) -> Tensor:
    """(S,) log p(x + t·along) for the distances t (S,); pixels are not clamped, so the line is straight."""
    return log_density(model, x + distances[:, None, None, None] * along)


def plane(model: Callable[[Tensor], Tensor], x: Tensor, along: Tensor, aside: Tensor, distances: Tensor) -> Tensor:
    """(S, S) log p(x + t·along + u·aside): row u, column t, over the same distances."""
    steps = distances[:, None, None, None]
    return torch.stack([line(model, x + step * aside, along, distances) for step in steps])
