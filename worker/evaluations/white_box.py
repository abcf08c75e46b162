"""What projected gradient descent does to the images that an attack without the model's gradients attacks too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from worker.attacks.pgd import pgd_linf
from worker.evaluations.result import Flag, Result, proportion


class WhiteBox:
    """PGD in L∞ with its default parameters at one epsilon, batch by batch."""

    def __init__(self, epsilon: float, generator: torch.Generator) -> None:
        self._epsilon, self._generator = epsilon, generator
        self._held: list[np.ndarray] = []

    def attack(self, model: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> None:
        x_adv = pgd_linf(model, x, y, epsilon=self._epsilon, generator=self._generator)
        with torch.no_grad():
            self._held.append((model(x_adv).argmax(dim=1) == y).cpu().numpy())

    def compare(self, result: Result, held: np.ndarray) -> None:
        """Adds to the result of an attack that left `held` (N,): the value `white_box`, PGD's accuracy on the same
        images; `only_here`, the share of them that this attack broke and PGD did not; the flag where it beats PGD;
        and the array `only_here`."""
        white = np.concatenate(self._held)
        only = white & ~held
        result.values["white_box"] = proportion(int(white.sum()), len(white), higher_is_better=True)
        result.values["only_here"] = proportion(int(only.sum()), len(only), higher_is_better=None)
        result.arrays["only_here"] = only
        if held.sum() < white.sum():
            result.flags.append(Flag(
                "beats_white_box", f"This attack, which sees no gradient of the model, leaves {held.sum()} of "
                f"{len(held)} images right at epsilon {self._epsilon:g}, PGD with its gradients {white.sum()}: they "
                "are masked, and PGD's accuracy is too high. Next: PGD with the margin loss, more steps and restarts; "
                "take the lowest of all attacks as the figure."))
