"""Whether a model's scores tell its own test images from others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from worker.datasets.dataset import Dataset
from worker.evaluations.density_scores import density_scores
from worker.evaluations.detection import Detection, detection, roc
from worker.evaluations.foreign import noise_like, other_data
from worker.evaluations.histogram import histograms
from worker.evaluations.result import Curve, Flag, Result, Value, few_samples
from worker.intervals import bootstrap


def ood(
    model: nn.Module,
    data: Dataset,
    *,
    against: Callable[[str], Dataset] | None = None,
    noise: str = "uniform",
    resize: str | None = None,
    samples: int | None = 1000,
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Out-of-distribution detection by four scores: `msp`, `max_logit`, `energy` (see `density_scores`), and
    `density_gradient` = −‖∇ₓ log p(x)‖₂.

    Direction: a higher score says in-distribution, which is the positive class. AUROC is not flipped when below 0.5.

    Args:
        model: gives logits (N, K), in eval mode.
        data: the in-distribution images.
        against: split -> the out-of-distribution images; None: noise of their size, as many as test images.
        noise: "uniform" or "gaussian", where `against` is None; see `noise_like`.
        resize: see `other_data`.
        samples: only the first so many images of either; None: all.
        generator: draws the noise.
        progress: told the fraction done, 0 to 1.
        should_stop: asked before each batch.

    Returns:
        for each score values `{score}_auroc`, `{score}_aupr_in`, `{score}_aupr_out` and `{score}_fpr95` (see
        `detection`; bootstrap stratified by in and out), curves `{score}_roc`, `{score}_in` and `{score}_out` (its
        histograms); values `in_images` and `out_images`, how many of each; arrays of the test images' scores. A score
        that is not finite everywhere has no figures and is flagged.

    Raises:
        ValueError: shapes differ without a resize, or the noise is unknown.
        Stopped: `should_stop()` answered True.
    """
    count = len(data) if samples is None else min(samples, len(data))
    if against is None:
        others = noise_like(data, noise, count, generator)
    else:
        others = other_data(against, data, resize, samples)
    here = density_scores(model, data, count, progress=lambda share: progress(share / 2), should_stop=should_stop)
    there = density_scores(
        model, others, None, progress=lambda share: progress(0.5 + share / 2), should_stop=should_stop
    )
    for scores in (here, there):
        scores["density_gradient"] = -scores.pop("gradient_norm")
    values = {"in_images": _count(count), "out_images": _count(len(others))}
    curves: dict[str, Curve] = {}
    flags = few_samples(min(count, len(others)), of="of the smaller set")
    for name in here:
        measured = _Measured(here[name], there[name])
        if not measured.finite:
            flags.append(Flag("not_finite", f"The score {name} is not a finite number for some image: it has no "
                              "figures. Next: look for overflow in the model, such as a diverged training."))
        values.update({f"{name}_{figure}": value for figure, value in measured.values().items()})
        curves.update({f"{name}_{figure}": curve for figure, curve in measured.curves(name).items()})
    return Result(values, curves, flags, {name: score.astype(np.float32) for name, score in here.items()})


class _Measured:
    """One score of both sets."""

    def __init__(self, here: np.ndarray, there: np.ndarray) -> None:
        self._here, self._there = here, there
        self._scores = np.concatenate([here, there])
        self._inside = np.arange(len(self._scores)) < len(here)
        self.finite = bool(np.isfinite(self._scores).all()) and len(here) > 0 and len(there) > 0

    def values(self) -> dict[str, Value]:
        better = {"auroc": True, "aupr_in": True, "aupr_out": True, "fpr95": False}
        if not self.finite:
            return {figure: Value(None, None, None, 0, higher) for figure, higher in better.items()}
        everyone = np.arange(len(self._scores))
        measured = detection(self._scores, self._inside, everyone[None])
        drawn: list[Detection] = []

        def keep(rows: np.ndarray) -> np.ndarray:
            drawn.append(detection(self._scores, self._inside, rows))
            return drawn[-1].auroc

        # one set of resamples serves the four figures
        bootstrap(everyone, strata=self._inside, statistic=keep)
        result = {}
        for figure, higher in better.items():
            value = float(getattr(measured, figure)[0])
            low, high = np.quantile(np.concatenate([getattr(part, figure) for part in drawn]), [0.025, 0.975])
            result[figure] = Value(value, min(float(low), value), max(float(high), value), len(everyone), higher)
        return result

    def curves(self, name: str) -> dict[str, Curve]:
        if not self.finite:
            return {}
        fpr, tpr = roc(self._scores, self._inside)
        here, there = histograms([self._here, self._there], name.replace("_", " "))
        return {
            "roc": Curve(fpr.tolist(), tpr.tolist(), None, None, "out-of-distribution images accepted",
                         "in-distribution images accepted"),
            "in": here, "out": there,
        }


def _count(n: int) -> Value:
    return Value(float(n), None, None, n, None)
