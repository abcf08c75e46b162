"""What one model says of some images: their maps, and the numbers beside each."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.shared.contracts import View

LIMIT_PERCENTILE = 99.0


@dataclass(frozen=True)
class Views:
    """Of N images."""

    maps: Tensor  # (N, C, H, W) float32, raw
    predicted: np.ndarray  # (N,)
    confidence: np.ndarray  # (N,) softmax probability of the predicted class
    log_density: np.ndarray  # (N,) logsumexp of the logits


def views(model: torch.nn.Module, method: Callable[..., Tensor], x: Tensor, target: Tensor) -> Views:
    """What the model says of x (N, C, H, W) in [0, 1], with maps of the target classes (N,)."""
    with torch.no_grad():
        logits = model(x).double()
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    return Views(method(model, x, target).float().cpu(), predicted.cpu().numpy(), confidence.cpu().numpy(),
                 logits.logsumexp(dim=1).cpu().numpy())


def numbers(seen: Views, place: int, mask: Tensor | None) -> View:
    """The numbers beside the image at `place`; leakage where there is a mask (1 or C, H, W) of the null part."""
    shown = seen.maps[place].numpy().astype(np.float64)
    nan, zero = not bool(np.isfinite(shown).all()), not bool(shown.any())
    leakage = share = None
    if mask is not None and not nan:
        on_mask = float(np.square(shown * mask.numpy()).sum())
        leakage = on_mask**0.5
        share = None if zero else on_mask / float(np.square(shown).sum())
    density = float(seen.log_density[place])
    return View(
        predicted=int(seen.predicted[place]), confidence=float(np.nan_to_num(seen.confidence[place])),
        log_density=density if np.isfinite(density) else None, leakage=leakage, leakage_share=share, zero=zero, nan=nan,
    )


def colour_limit(maps: np.ndarray) -> float:
    """The 99th percentile of |map| over all finite values of all maps; 0 where there is none."""
    size = np.abs(maps[np.isfinite(maps)])
    return float(np.percentile(size, LIMIT_PERCENTILE)) if size.size else 0.0
