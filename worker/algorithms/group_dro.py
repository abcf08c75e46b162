"""Group DRO: minimise the loss of the worst group (Sagawa, Koh, Hashimoto, Liang 2020, algorithm 1)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F

from densitylab.worker.algorithms.algorithm import Algorithm, TrainingSamples, balanced_weights


def group_dro(
    samples: TrainingSamples, *, step_size: float = 0.01, adjustment: float = 0.0, balanced: bool = True
) -> Algorithm:
    """Return the algorithm whose loss is Σ_g q_g L_g, with the mean loss L_g of the batch's images of group g.

    At every step q_g is multiplied by exp(η (L_g + C / √n_g)), with n_g training images of the group, and divided by
    the sum over the groups. A group that the batch has no image of is multiplied by 1. The loss of a step has the
    weights after that step's update.

    Args:
        samples: the training images.
        step_size: η of the weights, above 0.
        adjustment: C of the generalization adjustment, at least 0; larger values favour small groups.
        balanced: draw images so that all groups are equally likely, as algorithm 1 does; otherwise as the spec says.

    Raises:
        ValueError: a data set without groups.
    """
    return _GroupDro(samples.require_groups("Group DRO"), samples.device, step_size, adjustment, balanced)


class _GroupDro(Algorithm):
    weighs_losses = True
    needs_losses = True

    def __init__(
        self, groups: torch.Tensor, device: torch.device, step_size: float, adjustment: float, balanced: bool
    ) -> None:
        counts = torch.bincount(groups).double()
        present = (counts > 0).double()
        self._sampling = balanced_weights(groups) if balanced else None
        self._step_size = step_size
        self._margins = (adjustment / counts.clamp_min(1).sqrt()).to(device)
        self._group_weights = (present / present.sum()).to(device)  # q, float64

    def sampling_weights(self) -> torch.Tensor | None:
        return self._sampling

    def loss_weights(self, losses: torch.Tensor | None, y: torch.Tensor, groups: torch.Tensor | None) -> torch.Tensor:
        if losses is None or groups is None:
            raise ValueError("Group DRO needs the losses and the groups of the batch")
        # products with a one-hot matrix: sums by index are not deterministic on a GPU
        member = F.one_hot(groups, len(self._group_weights)).double()
        counts = member.sum(dim=0)
        mean_losses = losses.double() @ member / counts.clamp_min(1)
        rise = self._step_size * (mean_losses + self._margins) * (counts > 0)
        # a softmax of logarithms: the exponential of a large loss would overflow
        self._group_weights = torch.softmax(self._group_weights.log() + rise, dim=0)
        return (len(y) * self._group_weights / counts.clamp_min(1))[groups].to(losses.dtype)

    def metrics(self) -> dict[str, float]:
        return {f"group_weight_{group}": weight for group, weight in enumerate(self._group_weights.tolist())}

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"group_weights": self._group_weights}

    def load_state_dict(self, saved: Mapping[str, torch.Tensor]) -> None:
        self._group_weights = saved["group_weights"].to(self._group_weights.device)
