"""Reweighting: classes or groups count the same, however many images they have (compared by Idrissi et al. 2022)."""

from __future__ import annotations

import torch

from densitylab.worker.algorithms.algorithm import Algorithm, TrainingSamples, balanced_weights


def reweighting(samples: TrainingSamples, *, by: str = "group", balance: str = "loss") -> Algorithm:
    """Return the algorithm that weighs each image by N / (G · n), with n images of its kind and G kinds.

    Args:
        samples: the training images.
        by: "group" or "class", the kind of an image.
        balance: "loss": the loss of an image has this weight; "sampling": an epoch draws N images with replacement,
            with probabilities in proportion to it.

    Raises:
        ValueError: another `by` or `balance`, or groups of a data set without any.
    """
    if by not in ("group", "class") or balance not in ("loss", "sampling"):
        raise ValueError(f"expected by 'group' or 'class' and balance 'loss' or 'sampling', got {by!r} and {balance!r}")
    kinds = samples.labels if by == "class" else samples.require_groups("reweighting by group")
    if balance == "sampling":
        return _BalancedSampling(kinds)
    return _BalancedLoss(kinds, by_class=by == "class", device=samples.device)


class _BalancedSampling(Algorithm):
    def __init__(self, kinds: torch.Tensor) -> None:
        self._weights = balanced_weights(kinds)

    def sampling_weights(self) -> torch.Tensor:
        return self._weights


class _BalancedLoss(Algorithm):
    weighs_losses = True

    def __init__(self, kinds: torch.Tensor, *, by_class: bool, device: torch.device) -> None:
        weights = torch.zeros(1 + int(kinds.max()), dtype=torch.float64)
        weights[kinds] = balanced_weights(kinds)
        self._weights, self._by_class = weights.float().to(device), by_class

    def loss_weights(self, losses: torch.Tensor | None, y: torch.Tensor, groups: torch.Tensor | None) -> torch.Tensor:
        kinds = y if self._by_class else groups
        if kinds is None:
            raise ValueError("reweighting by group needs the groups of the batch")
        return self._weights[kinds]
