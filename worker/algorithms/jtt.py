"""Just train twice: draw the images that a first network gets wrong more often (Liu et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from densitylab.worker.algorithms.algorithm import Algorithm, TrainingSamples

ERROR_SET = "jtt-error-set.npz"


def jtt(samples: TrainingSamples, *, first_epochs: int = 1, upweight: float = 20.0) -> Algorithm:
    """Return the algorithm of two stages. After the first, the error set is the training images whose class is
    predicted wrongly, without augmentation and in eval mode. The second starts over from the first weights, and an
    epoch draws N images with replacement, those of the error set `upweight` times as often as the others.

    The authors repeat each image of the error set `upweight` times instead, which is the same distribution; an epoch
    here stays at N images.

    Args:
        samples: the training images.
        first_epochs: of the first stage, at least 1 and fewer than those of the run.
        upweight: λ_up of the paper, at least 1.
    """
    return _TrainTwice(samples.labels, first_epochs, upweight)


class _TrainTwice(Algorithm):
    def __init__(self, labels: torch.Tensor, first_epochs: int, upweight: float) -> None:
        self.first_stage = first_epochs
        self._labels, self._upweight = labels, upweight
        self._errors: torch.Tensor | None = None  # (N,) bool; None: in the first stage

    def sampling_weights(self) -> torch.Tensor | None:
        if self._errors is None:
            return None
        return torch.where(self._errors, self._upweight, 1.0).double()

    def start_over(self, predicted: torch.Tensor) -> None:
        self._errors = predicted != self._labels

    def lines(self) -> list[str]:
        if self._errors is None:
            return []
        count, images = int(self._errors.sum()), len(self._labels)
        return [f"the error set of the first stage has {count:,} of {images:,} training images ({count / images:.2%})"]

    def files(self) -> dict[str, dict[str, np.ndarray]]:
        """Return the error set: `indices` of training images, and `images`, their number altogether."""
        if self._errors is None:
            return {}
        indices = self._errors.nonzero().flatten().numpy()
        return {ERROR_SET: {"indices": indices, "images": np.array(len(self._labels))}}

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {} if self._errors is None else {"errors": self._errors}

    def load_state_dict(self, saved: Mapping[str, torch.Tensor]) -> None:
        self._errors = saved.get("errors")
