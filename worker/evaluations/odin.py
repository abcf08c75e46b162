"""The score of ODIN: softmax at a high temperature after a small step towards the predicted class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.batches import batches


def odin_scores(
    model: nn.Module,
    data: Dataset,
    indices: np.ndarray | None,
    *,
    temperature: float,
    epsilon: float,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> np.ndarray:
    """Return max softmax(f(x̂)/T), x̂ = x − ε sign ∇ₓ CE(f(x)/T, ŷ) and ŷ the predicted class, (N,) in float64.

    Liang, Li, Srikant, *Enhancing The Reliability of Out-of-distribution Image Detection in Neural Networks*, ICLR
    2018. x̂ is not clamped to [0, 1].

    Args:
        model: gives logits (N, K), in eval mode.
        data: images.
        indices: of the images in the data set; None: all.
        temperature: T, above 0.
        epsilon: on the [0, 1] pixel scale, at least 0.
        progress: called with the fraction done.
        should_stop: asked before each batch.

    Raises:
        Interrupted: `should_stop()` returned True.
    """
    scores = []
    for _, x, _ in batches(model, data, indices, progress=progress, should_stop=should_stop):
        with torch.enable_grad():
            inputs = x.detach().requires_grad_()
            logits = model(inputs).double() / temperature
            loss = F.cross_entropy(logits, logits.argmax(dim=1), reduction="sum")
            (gradient,) = torch.autograd.grad(loss, inputs)
        with torch.no_grad():
            stepped = model(x - epsilon * gradient.sign()).double() / temperature
        scores.append(stepped.softmax(dim=1).amax(dim=1).cpu().numpy())
    return np.concatenate(scores) if scores else np.zeros(0)
