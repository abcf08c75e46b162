"""Scores of in-distribution images, from logits and their gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.batches import batches


def density_scores(
    model: nn.Module,
    data: Dataset,
    indices: np.ndarray | None,
    *,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> dict[str, np.ndarray]:
    """Return four scores of each image, (N,) in float64.

    `msp`, the largest softmax probability (Hendrycks, Gimpel 2017); `max_logit` (Hendrycks et al. 2022); `energy` =
    logsumexp f(x) = log p(x) + const (Liu et al. 2020); `gradient_norm` ‖∇ₓ log p(x)‖₂.

    Raises:
        Interrupted: `should_stop()` returned True.
    """
    scores: dict[str, list[np.ndarray]] = {"msp": [], "max_logit": [], "energy": [], "gradient_norm": []}
    for _, x, _ in batches(model, data, indices, progress=progress, should_stop=should_stop):
        with torch.enable_grad():
            inputs = x.detach().requires_grad_()
            logits = model(inputs).double()
            energy = logits.logsumexp(dim=1)
            (gradient,) = torch.autograd.grad(energy.sum(), inputs)
        logits = logits.detach()
        batch = {
            "msp": logits.softmax(dim=1).amax(dim=1),
            "max_logit": logits.amax(dim=1),
            "energy": energy.detach(),
            "gradient_norm": torch.linalg.vector_norm(gradient.double().flatten(1), dim=1),
        }
        for name, values in batch.items():
            scores[name].append(values.cpu().numpy())
    return {name: np.concatenate(parts) if parts else np.zeros(0) for name, parts in scores.items()}
