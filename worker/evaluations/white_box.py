"""PGD on the same images, for comparison with an attack that does not use the model's gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from densitylab.worker.attacks.pgd import pgd_linf
from densitylab.worker.evaluations.result import Flag, Result, proportion


class WhiteBox:
    """PGD in L∞ with its default parameters at one epsilon, batch by batch."""

    def __init__(self, epsilon: float, generator: torch.Generator) -> None:
        self._epsilon, self._generator = epsilon, generator
        self._robust: list[np.ndarray] = []

    def attack(self, model: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> None:
        """Attack one batch and keep which images stay correct."""
        x_adv = pgd_linf(model, x, y, epsilon=self._epsilon, generator=self._generator)
        with torch.no_grad():
            self._robust.append((model(x_adv).argmax(dim=1) == y).cpu().numpy())

    def compare(self, result: Result, robust: np.ndarray) -> None:
        """Add the comparison with PGD to the result of an attack.

        Adds the values `white_box`, PGD's accuracy on the same images, and `only_here`, the share of images that only
        this attack broke; the arrays `only_here` and `white_box`; and a flag if this attack is stronger than PGD.

        Args:
            result: of the attack; changed in place.
            robust: (N,) bool, the images that the attack left correctly classified.
        """
        white = np.concatenate(self._robust)
        only = white & ~robust
        result.values["white_box"] = proportion(int(white.sum()), len(white), higher_is_better=True)
        result.values["only_here"] = proportion(int(only.sum()), len(only), higher_is_better=None)
        result.arrays["only_here"], result.arrays["white_box"] = only, white
        if robust.sum() < white.sum():
            result.flags.append(
                Flag(
                    "beats_white_box",
                    f"Under this attack, which uses no gradients of the model, {robust.sum()} of {len(robust)} images "
                    f"stay correct at epsilon {self._epsilon:g}, under PGD {white.sum()}: the gradients are masked, "
                    "and PGD's accuracy is too high. Next: PGD with the margin loss, more steps and restarts; report "
                    "the lowest accuracy of all attacks.",
                )
            )
