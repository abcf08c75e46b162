"""Cross-entropy with label smoothing and weights of classes and samples, of a batch that may be computed in parts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from densitylab.worker.autograd import upcast
from densitylab.worker.training.mixture import Mixture


@dataclass(frozen=True)
class CrossEntropy:
    """Settings of the cross-entropy, and its scale in the present batch.

    Args:
        label_smoothing: ε in [0, 1): the target is 1 − ε + ε/K for the label and ε/K for every other class (Szegedy et
            al. 2016).
        weights: (K,) weight of each class, on the device; None: all are 1.
        scale: N / Σ w_y over the batch, so that the mean over its samples is torch's weighted mean.
        sample_weights: (n,) weights of the samples of a part, as an algorithm sets them; None: all are 1.
        mixture: of the samples: the target of each is its label by its share, and another label by the rest; None:
            they are not mixed.
    """

    label_smoothing: float = 0.0
    weights: torch.Tensor | None = None
    scale: torch.Tensor | float = 1.0
    sample_weights: torch.Tensor | None = None
    mixture: Mixture | None = None

    def of_batch(self, y: torch.Tensor, mixture: Mixture | None = None) -> CrossEntropy:
        """Return the same for a batch of these labels (N,), of which any `part` may then be computed."""
        if self.weights is None:
            return replace(self, mixture=mixture)
        weights = self.weights[y]
        if mixture is not None:
            weights = mixture.of(weights, self.weights[mixture.other])
        return replace(self, scale=len(y) / weights.sum(), mixture=mixture)

    def part(self, rows: slice) -> CrossEntropy:
        """Return the same for some samples of the batch."""
        return self if self.mixture is None else replace(self, mixture=self.mixture.part(rows))

    def per_sample(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return (n,) scaled cross-entropies of a part of the batch, in float32 at least."""
        losses = self._losses(logits, y)
        if self.mixture is not None:
            losses = self.mixture.of(losses, self._losses(logits, self.mixture.other))
        if self.weights is not None:
            losses = self.scale * losses
        return losses if self.sample_weights is None else self.sample_weights * losses

    def mean(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the mean of `per_sample`."""
        if self.weights is None and self.sample_weights is None and self.mixture is None:
            return F.cross_entropy(logits, y, label_smoothing=self.label_smoothing)
        return self.per_sample(logits, y).mean()

    def _losses(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(
            upcast(logits), y, weight=self.weights, reduction="none", label_smoothing=self.label_smoothing
        )


PLAIN = CrossEntropy()


def balanced_weights(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Return (K,) N / (K · N_c) with N_c images of class c; 0 for a class without an image."""
    counts = torch.bincount(labels, minlength=classes).double()
    weights = torch.where(counts > 0, len(labels) / (classes * counts.clamp_min(1)), 0.0)
    return weights.float()
