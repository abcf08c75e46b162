"""Attribution maps of one model, with predictions and metrics for each image."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from densitylab.backend.shared.contracts import View

LIMIT_PERCENTILE = 99.0


@dataclass(frozen=True)
class Explanations:
    """Maps and predictions of N images."""

    maps: Tensor  # (N, C, H, W) float32, raw
    predicted: np.ndarray  # (N,)
    confidence: np.ndarray  # (N,) softmax probability of the predicted class
    log_density: np.ndarray  # (N,) logsumexp of the logits


def explain(model: torch.nn.Module, method: Callable[..., Tensor], x: Tensor, target: Tensor) -> Explanations:
    """Return predictions for x (N, C, H, W) in [0, 1], and maps of the target classes (N,)."""
    with torch.no_grad():
        logits = model(x).double()
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    return Explanations(
        method(model, x, target).float().cpu(),
        predicted.cpu().numpy(),
        confidence.cpu().numpy(),
        logits.logsumexp(dim=1).cpu().numpy(),
    )


def summarize(explanations: Explanations, index: int, mask: Tensor | None) -> View:
    """Return the metrics of one image, with leakage if there is a mask (1 or C, H, W) of the null part."""
    attribution = explanations.maps[index].numpy().astype(np.float64)
    nan, zero = not bool(np.isfinite(attribution).all()), not bool(attribution.any())
    leakage = share = None
    if mask is not None and not nan:
        on_mask = float(np.square(attribution * mask.numpy()).sum())
        leakage = on_mask**0.5
        share = None if zero else on_mask / float(np.square(attribution).sum())
    density = float(explanations.log_density[index])
    return View(
        predicted=int(explanations.predicted[index]),
        confidence=float(np.nan_to_num(explanations.confidence[index])),
        log_density=density if np.isfinite(density) else None,
        leakage=leakage,
        leakage_share=share,
        zero=zero,
        nan=nan,
    )


def colour_limit(maps: np.ndarray) -> float:
    """Return the 99th percentile of |map| over all finite values of all maps, 0 if there are none."""
    size = np.abs(maps[np.isfinite(maps)])
    return float(np.percentile(size, LIMIT_PERCENTILE)) if size.size else 0.0
