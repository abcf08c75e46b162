"""Feature leakage: the part of an attribution on the null part of the image, which is independent of the label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.batches import batches
from densitylab.worker.evaluations.random_map import random_map
from densitylab.worker.evaluations.result import Flag, Result, few_samples, mean_value
from densitylab.worker.evaluations.subset import draw_subset

SHARES = ("share", "ratio", "mass")


def leakage(
    model: nn.Module,
    data: Dataset,
    *,
    attribution: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor],
    target: str = "logit",
    samples: int | None = None,
    fresh_model: Callable[[], nn.Module],
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Return the leakage of the attribution a of the labelled class onto the null mask m.

    Absolute: mean of ‖a·m‖₂ (Yang, Akhtar, Shah, Mian, ECCV 2024). Share: mean of ‖a·m‖₂² / ‖a‖₂²; ratio: mean of
    ‖a·m‖₂ / ‖a‖₂; mass: mean of ‖a·m‖₁ / ‖a‖₁ (relevance mass, Arras, Osman, Samek 2022). Only the first is defined for
    a = 0: such images are excluded from the others, and a flag gives their number. A map that ignores the mask has the
    mask's share of the pixels as its expected share and mass: the chance level of an image.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images, labels and masks.
        attribution: (model, x, target) -> attributions shaped like x, signed and raw.
        target: output of the labelled class to attribute: its "logit", its "log_prob" log softmax_y f(x), or its
            "margin" f_y − max_{j≠y} f_j.
        samples: number of images, see `draw_subset`; None: all.
        fresh_model: gives the same network with random weights, on the same device, in eval mode.
        generator: draws the random maps.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before each batch.

    Returns:
        values `l2`, `share`, `ratio`, `mass`, with bootstrap intervals stratified by class; `chance`, the mean chance
        level of `share` and `mass`; and of `share`, `ratio` and `mass` the controls `{name}_random_map` (independent
        normal numbers, non-negative where the map has no negative ones) and `{name}_random_weights` (the fresh model's
        map). Arrays of the same names, per image, NaN if not defined.

    Raises:
        ValueError: the data set has no masks, or `target` is none of the three.
        Interrupted: `should_stop()` returned True.
    """
    if data.masks is None:
        raise ValueError("leakage needs a data set with a mask of its null part; this one has none")
    if target not in _OUTPUTS:
        raise ValueError(f"expected target to be one of {', '.join(_OUTPUTS)}, got {target!r}")
    explained, untrained = (_Explained(network, _OUTPUTS[target]).eval() for network in (model, fresh_model()))
    indices = draw_subset(data, samples)
    columns: dict[str, list[np.ndarray]] = {}
    for part, x, y in batches(model, data, indices, progress=progress, should_stop=should_stop):
        mask = data.masks[indices[part]].to(x.device)
        own = attribution(explained, x, y)
        maps = {
            "": own,
            "_random_map": random_map(own, generator),
            "_random_weights": attribution(untrained, x, y),
        }
        measured = {f"{name}{suffix}": column for suffix, a in maps.items() for name, column in _parts(a, mask).items()}
        measured["chance"] = mask.double().flatten(1).mean(dim=1)
        for name, column in measured.items():
            columns.setdefault(name, []).append(column.cpu().numpy())
    arrays = {name: np.concatenate(parts) for name, parts in columns.items() if not name.startswith("l2_")}
    count = len(indices)
    labels = data.labels[indices].cpu().numpy()
    finite, defined = np.isfinite(arrays["l2"]), np.isfinite(arrays["share"])

    flags = few_samples(count, len(data))
    if not finite.all():
        flags.append(
            Flag(
                "not_finite",
                f"{(~finite).sum()} of {count} attributions contain values that are not finite "
                "numbers; they are excluded from every mean. Next: check the model for overflow, such as "
                "after a diverged training.",
            )
        )
    if not defined[finite].all():
        flags.append(
            Flag(
                "zero_attribution",
                f"{(finite & ~defined).sum()} of {count} attributions are zero "
                "everywhere; share, ratio and mass are not defined for them and are means over the "
                "others. Next: check these maps; saturated models have zero gradients.",
            )
        )
    values = {}
    for name, numbers in arrays.items():
        known = np.isfinite(numbers) if name == "l2" else np.isfinite(numbers) & defined
        better = False if name in ("l2", *SHARES) else None
        values[name] = mean_value(numbers[known], labels[known], higher_is_better=better)
    return Result(
        values=values,
        flags=flags,
        arrays={"indices": indices, **{name: numbers.astype(np.float32) for name, numbers in arrays.items()}},
    )


def _parts(attributions: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Return the four measures of maps (N, C, H, W) on masks (N, 1, H, W), (N,) each; NaN where not defined."""
    a = attributions.double()
    l2 = torch.linalg.vector_norm((a * mask).flatten(1), dim=1)
    ratio = l2 / torch.linalg.vector_norm(a.flatten(1), dim=1)
    mass = (a.abs() * mask).flatten(1).sum(dim=1) / a.abs().flatten(1).sum(dim=1)
    finite = a.isfinite().flatten(1).all(dim=1)
    measured = {"l2": l2, "share": ratio**2, "ratio": ratio, "mass": mass}
    return {name: torch.where(finite, column, torch.nan) for name, column in measured.items()}


class _Explained(nn.Module):
    """A model and the output to differentiate, as a module, since some attribution methods need its layers."""

    def __init__(self, model: nn.Module, output: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self._output = model, output

    def forward(self, x: Tensor) -> Tensor:
        return self._output(self.model(x))


def _margins(logits: Tensor) -> Tensor:
    """Return (N, K), each logit minus the largest of the others."""
    best, runner_up = logits.topk(2, dim=1).values.split(1, dim=1)
    is_best = torch.zeros_like(logits, dtype=torch.bool).scatter(1, logits.argmax(dim=1, keepdim=True), True)
    return logits - torch.where(is_best, runner_up, best)


_OUTPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "logit": lambda logits: logits,
    "log_prob": lambda logits: logits.log_softmax(dim=1),
    "margin": _margins,
}
