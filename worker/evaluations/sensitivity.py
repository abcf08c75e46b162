"""Max-sensitivity: the largest relative change of an attribution under small noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from captum.metrics import sensitivity_max
from torch import Tensor, nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.batches import batches
from densitylab.worker.evaluations.result import Flag, Result, few_samples, mean_value
from densitylab.worker.evaluations.subset import draw_subset


def sensitivity(
    model: nn.Module,
    data: Dataset,
    *,
    attribution: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor],
    radius: float = 0.02,
    draws: int = 10,
    samples: int | None = 500,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Return the maximum over draws of ‖a(x + r) − a(x)‖ / ‖a(x)‖, r uniform in [−radius, radius]^D.

    With Frobenius norms (Yeh, Hsieh, Suggala, Inouye, Ravikumar 2019), by Captum's `sensitivity_max`; a is the
    attribution of the class predicted for x.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images and labels.
        attribution: (model, x, target) -> attributions shaped like x.
        radius: on the [0, 1] pixel scale.
        draws: noisy copies of each image, at least 1; the maximum grows with their number.
        samples: number of images, see `draw_subset`; None: all.
        generator: seeds the noise, which Captum draws from torch's global state; its state is restored.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before each batch.

    Returns:
        value and array `sensitivity_max` (bootstrap by class). Images with a map of zeros are excluded, and a
        flag gives their number.

    Raises:
        Interrupted: `should_stop()` returned True.
    """
    indices = draw_subset(data, samples)
    parts: list[np.ndarray] = []
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(generator.initial_seed())
        for _, x, _ in batches(model, data, indices, progress=progress, should_stop=should_stop):
            with torch.no_grad():
                target = model(x).argmax(dim=1)

            def explain(inputs: tuple[Tensor, ...], target: Tensor) -> tuple[Tensor, ...]:
                return (attribution(model, inputs[0], target),)

            largest = sensitivity_max(
                explain,
                x,
                perturb_radius=radius,
                n_perturb_samples=draws,
                target=target,
            )
            zero = (attribution(model, x, target) == 0).flatten(1).all(dim=1)
            parts.append(torch.where(zero, torch.nan, largest).cpu().numpy())
    measured = np.concatenate(parts) if parts else np.zeros(0)
    labels = data.labels[indices].cpu().numpy()
    known = np.isfinite(measured)
    flags = few_samples(len(measured), len(data))
    if not known.all():
        flags.append(
            Flag(
                "zero_attribution",
                f"{(~known).sum()} of {len(known)} images have a map that is zero "
                "everywhere or not finite: they are excluded from the mean. Next: check these maps.",
            )
        )
    return Result(
        {"sensitivity_max": mean_value(measured[known], labels[known], higher_is_better=False)},
        {},
        flags,
        {"indices": indices, "sensitivity_max": measured.astype(np.float32)},
    )
