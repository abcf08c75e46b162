"""Deep feature reweighting: retrain the last layer on a group-balanced held-out set (Kirichenko et al. 2023)."""

from __future__ import annotations

import torch

from densitylab.worker.algorithms.algorithm import Algorithm, TrainingSamples
from densitylab.worker.algorithms.logistic_regression import l1_logistic_regression

CHOICES_OF_C = (1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01)  # the paper's


def dfr(samples: TrainingSamples, *, c: float | None = None, repeats: int = 10) -> Algorithm:
    """Return the algorithm that trains as ERM, and then fits the last layer to the validation images alone.

    Features are standardised over the validation images. Each repeat draws as many images of every group as the
    smallest group has, and fits a logistic regression with an L1 penalty; the layer gets the mean of their
    coefficients, on the scale of the features.

    Args:
        samples: the training images, for the number of classes.
        c: inverse strength of the L1 penalty, above 0. None: of 1, 0.7, 0.3, 0.1, 0.07, 0.03 and 0.01 the one with the
            best worst-group accuracy on half of the validation images, fitted once to the other half.
        repeats: fits that are averaged, at least 1.
    """
    return _RetrainedHead(samples.num_classes, c, repeats)


class _RetrainedHead(Algorithm):
    retrains_head = True

    def __init__(self, num_classes: int, c: float | None, repeats: int) -> None:
        self._num_classes, self._c, self._repeats = num_classes, c, repeats
        self._found = ""

    def retrain_head(
        self, features: torch.Tensor, labels: torch.Tensor, groups: torch.Tensor | None, *, seed: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if groups is None:
            raise ValueError("DFR needs validation images with groups; this data set has none")
        generator = torch.Generator().manual_seed(seed)
        mean, std = features.mean(dim=0), features.std(dim=0, correction=0)
        std = torch.where(std > 0, std, 1.0)
        x = (features - mean) / std
        c = self._chosen(x, labels, groups, generator) if self._c is None else self._c
        fits = []
        for _ in range(self._repeats):
            rows = balanced_subset(groups, generator)
            fits.append(l1_logistic_regression(x[rows], labels[rows], self._num_classes, c=c))
        of_each = len(rows) // len(groups.unique())
        self._found = (
            f"the last layer is fitted to {len(rows):,} of {len(labels):,} validation images, {of_each:,} of each "
            f"group, with C {c:g}; mean of {self._repeats} fits"
        )
        weight = torch.stack([weight for weight, _ in fits]).mean(dim=0) / std
        bias = torch.stack([bias for _, bias in fits]).mean(dim=0) - weight @ mean
        return weight, bias

    def lines(self) -> list[str]:
        return [self._found] if self._found else []

    def _chosen(self, x: torch.Tensor, labels: torch.Tensor, groups: torch.Tensor, generator: torch.Generator) -> float:
        kinds, counts = torch.unique(groups, return_counts=True)
        if counts.min() < 2:
            raise ValueError(
                f"DFR chooses c on half of the validation images of each group, and group {kinds[counts.argmin()]} has "
                "only one: give c"
            )
        order = torch.randperm(len(groups), generator=generator)
        rank = torch.empty_like(order)
        for kind in kinds:
            own = order[groups[order] == kind]
            rank[own] = torch.arange(len(own))
        fitted = (rank % 2 == 0).nonzero().flatten()
        compared = (rank % 2 == 1).nonzero().flatten()
        rows = fitted[balanced_subset(groups[fitted], generator)]

        def worst(c: float) -> float:
            weight, bias = l1_logistic_regression(x[rows], labels[rows], self._num_classes, c=c)
            correct = (x[compared] @ weight.T + bias).argmax(dim=1) == labels[compared]
            return min(float(correct[groups[compared] == kind].double().mean()) for kind in kinds)

        return max(CHOICES_OF_C, key=worst)


def balanced_subset(groups: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return indices of as many images of every group, drawn without replacement, as the smallest group has."""
    kinds, counts = torch.unique(groups, return_counts=True)
    smallest = int(counts.min())
    drawn = []
    for kind in kinds:
        own = (groups == kind).nonzero().flatten()
        drawn.append(own[torch.randperm(len(own), generator=generator)[:smallest]])
    return torch.cat(drawn)
