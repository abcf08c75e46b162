"""The share of right answers on validation images that an attack leaves right, for the controller of λ."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from densitylab.worker.attacks.pgd import pgd_linf
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.training import seeds
from densitylab.worker.training.batches import as_pixels
from densitylab.worker.training.validation import EVALUATION_BATCH


@dataclass(frozen=True)
class RobustShare:
    """When and how the share is measured.

    Args:
        every: steps between two measurements, at least 1.
        epsilon: largest change of a pixel, on the [0, 1] scale.
        attack_steps: steps of PGD L∞ on the cross-entropy, at least 1.
        samples: validation images, at least 1; all of them if there are fewer.
    """

    every: int = 20
    epsilon: float = 0.1
    attack_steps: int = 5
    samples: int = 200

    def of(self, model: torch.nn.Module, data: Dataset, device: torch.device, seed: int) -> float | None:
        """Return A_ε / A_0 in [0, 1], the accuracy under attack over that without; None if no answer is right.

        Images and starts of the attack depend on `seed` alone, the seed of the run, so they are the same each time. The
        model is left in eval mode; the attack is computed in float32.
        """
        drawn = torch.randperm(len(data), generator=seeds.generator(seed, seeds.ROBUST_SHARE, 0))[: self.samples]
        generator = torch.Generator(device).manual_seed(seeds.derive_seed(seed, seeds.ROBUST_SHARE, 1))
        model.eval()
        right = robust = 0
        for indices in drawn.sort().values.split(EVALUATION_BATCH):
            x, y = as_pixels(data.images[indices].to(device)), data.labels[indices].to(device)
            attacked = pgd_linf(
                model,
                x,
                y,
                epsilon=self.epsilon,
                steps=self.attack_steps,
                loss="cross_entropy",
                generator=generator,
            )
            with torch.no_grad():
                clean_right = model(x).argmax(dim=1) == y
                robust_right = clean_right & (model(attacked).argmax(dim=1) == y)
            right, robust = right + int(clean_right.sum()), robust + int(robust_right.sum())
        return robust / right if right else None
