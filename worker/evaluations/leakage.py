"""Feature leakage: the part of an attribution on the null part of the image, which is independent of the label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.batches import batches
from densitylab.worker.evaluations.result import Flag, Result, few_samples, mean_value
from densitylab.worker.evaluations.subset import draw_subset


def leakage(
    model: nn.Module,
    data: Dataset,
    *,
    attribution: Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor],
    target: str = "logit",
    samples: int | None = None,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Return the leakage of the attribution a of the labelled class onto the null mask m.

    Absolute: mean of ‖a·m‖₂ (Yang, Akhtar, Shah, Mian, ECCV 2024). Share: mean of ‖a·m‖₂² / ‖a‖₂², 0.5 by
    chance if the mask is half of the image; ratio: mean of ‖a·m‖₂ / ‖a‖₂; mass: mean of ‖a·m‖₁ / ‖a‖₁ (relevance
    mass, Arras, Osman, Samek 2022). Only the first is defined for a = 0: such images are excluded from the
    others, and a flag gives their number.

    Args:
        model: gives logits (N, K), in eval mode.
        data: images, labels and masks.
        attribution: (model, x, target) -> attributions shaped like x, signed and raw.
        target: output of the labelled class to attribute: its "logit", its "log_prob" log softmax_y f(x), or its
            "margin" f_y − max_{j≠y} f_j.
        samples: number of images, see `draw_subset`; None: all.
        generator: not used.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before each batch.

    Returns:
        values `l2`, `share`, `ratio`, `mass`, with bootstrap intervals stratified by class; arrays of the same names,
        per image, NaN if not defined.

    Raises:
        ValueError: the data set has no masks, or `target` is none of the three.
        Interrupted: `should_stop()` returned True.
    """
    if data.masks is None:
        raise ValueError("leakage needs a data set with a mask of its null part; this one has none")
    if target not in _OUTPUTS:
        raise ValueError(f"expected target to be one of {', '.join(_OUTPUTS)}, got {target!r}")
    explained = _Explained(model, _OUTPUTS[target]).eval()
    indices = draw_subset(data, samples)
    on_null, whole, mass = [], [], []
    for part, x, y in batches(model, data, indices, progress=progress, should_stop=should_stop):
        attributions = attribution(explained, x, y).double()
        mask = data.masks[indices[part]].to(x.device)
        on_null.append(torch.linalg.vector_norm((attributions * mask).flatten(1), dim=1).cpu().numpy())
        sizes = attributions.abs()
        mass.append(((sizes * mask).flatten(1).sum(1) / sizes.flatten(1).sum(1)).cpu().numpy())
        whole.append(torch.linalg.vector_norm(attributions.flatten(1), dim=1).cpu().numpy())
    l2 = np.concatenate(on_null) if on_null else np.zeros(0)
    norm = np.concatenate(whole) if whole else np.zeros(0)
    null_mass = np.concatenate(mass) if mass else np.zeros(0)
    count = len(l2)
    labels = data.labels[indices].cpu().numpy()
    finite = np.isfinite(norm)
    defined = finite & (norm > 0)
    ratio = np.full(count, np.nan)
    ratio[defined] = l2[defined] / norm[defined]
    l2[~finite] = np.nan

    flags = few_samples(count)
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
    return Result(
        values={
            "l2": mean_value(l2[finite], labels[finite], higher_is_better=False),
            "share": mean_value(ratio[defined] ** 2, labels[defined], higher_is_better=False),
            "ratio": mean_value(ratio[defined], labels[defined], higher_is_better=False),
            "mass": mean_value(null_mass[defined], labels[defined], higher_is_better=False),
        },
        flags=flags,
        arrays={
            "indices": indices,
            "l2": l2.astype(np.float32),
            "share": (ratio**2).astype(np.float32),
            "ratio": ratio.astype(np.float32),
            "mass": null_mass.astype(np.float32),
        },
    )


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
