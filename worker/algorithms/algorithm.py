"""What an algorithm decides during a training: which images are drawn, what their losses weigh, whether the training
starts over, and how the last layer is retrained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class TrainingSamples:
    """What an algorithm knows of the training images.

    Args:
        labels: (N,) int64, on the CPU.
        groups: (N,) int64, on the CPU; None if the data set has none.
        num_classes: K.
        device: where the losses are computed.
    """

    labels: torch.Tensor
    groups: torch.Tensor | None
    num_classes: int
    device: torch.device

    def require_groups(self, name: str) -> torch.Tensor:
        """Return the groups. Raises ValueError, with the algorithm's name, if the data set has none."""
        if self.groups is None:
            raise ValueError(f"{name} needs a data set with groups; this one has none")
        return self.groups


class Algorithm:
    """Empirical risk minimisation: every image counts the same. Others override what they change.

    The training loop asks, in this order: `sampling_weights` when a stage begins, `loss_weights` at every step,
    `start_over` when the first stage ends, and `retrain_head` when the training has ended.
    """

    weighs_losses = False  # whether `loss_weights` is called
    needs_losses = False  # whether it reads the losses, which costs a second forward pass if a batch is divided
    first_stage = 0  # epochs after which the training starts over from its first weights; 0: it never does
    retrains_head = False  # whether `retrain_head` is called

    def sampling_weights(self) -> torch.Tensor | None:
        """Return (N,) relative probabilities by which an epoch draws N images with replacement; None: the spec's
        sampling."""
        return None

    def loss_weights(self, losses: torch.Tensor | None, y: torch.Tensor, groups: torch.Tensor | None) -> torch.Tensor:
        """Return (B,) weights on the device: the mean of weight times loss is the loss of the batch.

        Args:
            losses: (B,) cross-entropies of the whole batch, without a graph; None unless `needs_losses`.
            y: (B,) labels.
            groups: (B,) groups; None if the data set has none.
        """
        raise NotImplementedError(f"{type(self).__name__} sets weighs_losses and has no loss_weights")

    def start_over(self, predicted: torch.Tensor) -> None:
        """Take note of the classes (N,), on the CPU, that the network of the first stage predicts for the training
        images."""

    def retrain_head(
        self, features: torch.Tensor, labels: torch.Tensor, groups: torch.Tensor | None, *, seed: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight (K, D) and bias (K,) of the last linear layer.

        Args:
            features: (M, D) float64 on the CPU, the layer's inputs for the validation images.
            labels: (M,) of these images.
            groups: (M,) of these images; None if the data set has none.
            seed: of the draws.
        """
        raise NotImplementedError(f"{type(self).__name__} sets retrains_head and has no retrain_head")

    def metrics(self) -> dict[str, float]:
        """Return curves of the algorithm's own, logged every 20 steps."""
        return {}

    def lines(self) -> list[str]:
        """Return what it has found, in sentences for the run's log at its end."""
        return []

    def files(self) -> dict[str, dict[str, np.ndarray]]:
        """Return what the run keeps of the algorithm at its end: arrays by name, by the name of an .npz file."""
        return {}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return what a resumed training needs, as tensors."""
        return {}

    def load_state_dict(self, saved: Mapping[str, torch.Tensor]) -> None:
        """Restore what `state_dict` returned."""


def balanced_weights(kinds: torch.Tensor) -> torch.Tensor:
    """Return (N,) float64 weights N / (G · n_g) of images of G kinds with n_g images each; their mean is 1."""
    _, kind, counts = torch.unique(kinds, return_inverse=True, return_counts=True)
    return (len(kinds) / (len(counts) * counts.double()))[kind]
