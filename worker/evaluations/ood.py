"""Out-of-distribution detection by a model's scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.density_scores import density_scores
from densitylab.worker.evaluations.feature_scores import mahalanobis, nearest_neighbour, virtual_logit
from densitylab.worker.evaluations.head import Head, read_head
from densitylab.worker.evaluations.histogram import histograms
from densitylab.worker.evaluations.intervals import bootstrap
from densitylab.worker.evaluations.odin import odin_scores
from densitylab.worker.evaluations.ood_data import noise_like, other_data
from densitylab.worker.evaluations.ood_metrics import OodMetrics, ood_metrics, roc
from densitylab.worker.evaluations.result import Curve, Flag, Result, Value, few_samples
from densitylab.worker.evaluations.subset import draw_subset

FITTED = ("knn", "mahalanobis", "vim")  # scores of features


def ood(
    model: nn.Module,
    data: Dataset,
    *,
    against: Callable[[str], Dataset] | None = None,
    noise: str = "uniform",
    resize: str | None = None,
    samples: int | None = 1000,
    train_samples: int | None = 5000,
    neighbours: int = 50,
    temperature: float = 1000.0,
    epsilon: float = 0.0014,
    dimension: int | None = None,
    train_data: Callable[[], Dataset],
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Evaluate out-of-distribution detection by eight scores.

    They are `msp`, `max_logit`, `energy` (see `density_scores`), `density_gradient` = −‖∇ₓ log p(x)‖₂, `odin` (see
    `odin_scores`), and three of the inputs of the last linear layer: `knn`, `mahalanobis` and `vim` (see
    `feature_scores`), which are fitted to training images. A higher score means in-distribution, which is the positive
    class. An AUROC below 0.5 is not flipped.

    Args:
        model: gives logits (N, K), in eval mode.
        data: the in-distribution images.
        against: split -> the out-of-distribution images; None: noise images, as many as test images.
        noise: "uniform" or "gaussian", if `against` is None; see `noise_like`.
        resize: see `other_data`.
        samples: number of images of each set, see `draw_subset`; None: all.
        train_samples: number of training images that the scores of features are fitted to; None: all.
        neighbours: the k of `knn`, at least 1.
        temperature: the T of `odin`, above 0.
        epsilon: the step of `odin` on the [0, 1] pixel scale, at least 0.
        dimension: of the main subspace of `vim`; None: half of the features.
        train_data: gives the training images.
        generator: draws the noise.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before each batch.

    Returns:
        for each score values `{score}_auroc`, `{score}_aupr_in`, `{score}_aupr_out` and `{score}_fpr95` (see
        `ood_metrics`; bootstrap stratified by in and out), curves `{score}_roc`, `{score}_in` and `{score}_out` (its
        histograms); values `in_images`, `out_images` and `train_images`, their numbers; arrays of the test images'
        scores, and `out/{score}` of the others. A score that is not finite for some image has no values and gets a
        flag, and so do the scores of features where the model has no linear layer at its end.

    Raises:
        ValueError: shapes differ and `resize` is None, or the noise is unknown.
        Interrupted: `should_stop()` returned True.
    """
    indices = draw_subset(data, samples)
    count = len(indices)
    if against is None:
        others = noise_like(data, noise, count, generator)
    else:
        others = other_data(against, data, resize, samples)
    train = train_data()
    fitted_to = draw_subset(train, train_samples)
    passes = iter(range(7))

    def report() -> Callable[[float], None]:
        """Return the progress of the next of seven passes."""
        number = next(passes)
        return lambda share: progress((number + share) / 7)

    sets = [(data, indices), (others, np.arange(len(others)))]
    here, there = (
        density_scores(model, part, chosen, progress=report(), should_stop=should_stop) for part, chosen in sets
    )
    for scores, (part, chosen) in zip((here, there), sets, strict=True):
        scores["density_gradient"] = -scores.pop("gradient_norm")
        scores["odin"] = odin_scores(
            model,
            part,
            chosen,
            temperature=temperature,
            epsilon=epsilon,
            progress=report(),
            should_stop=should_stop,
        )
    train_head, *heads = (
        read_head(model, part, chosen, progress=report(), should_stop=should_stop)
        for part, chosen in [(train, fitted_to), *sets]
    )
    train_labels = train.labels[fitted_to].cpu().numpy()
    for scores, head, (_, chosen) in zip((here, there), heads, sets, strict=True):
        scores.update(_fitted_scores(train_head, train_labels, head, len(chosen), neighbours, dimension))
    values = {
        "in_images": _count(count),
        "out_images": _count(len(others)),
        "train_images": _count(len(fitted_to) if train_head else 0),
    }
    curves: dict[str, Curve] = {}
    fewer = min(count, len(others))
    flags = few_samples(fewer, len(data) if fewer == samples else fewer, of="of the smaller set")
    if train_head is None:
        flags.append(
            Flag(
                "no_features",
                f"The scores {', '.join(FITTED)} need a linear layer at the model's end, with a vector for each image: "
                "this model has none, so they have no values. Next: compare by the other scores.",
            )
        )
    for name in here:
        score = _Score(here[name], there[name])
        if not score.finite and not (train_head is None and name in FITTED):
            flags.append(
                Flag(
                    "not_finite",
                    f"The score {name} is not a finite number for some image: it has no "
                    "values. Next: check the model for overflow, such as after a diverged training.",
                )
            )
        values.update({f"{name}_{metric}": value for metric, value in score.values().items()})
        curves.update({f"{name}_{metric}": curve for metric, curve in score.curves(name).items()})
    arrays = {"indices": indices, **here}
    arrays |= {f"out/{name}": scores for name, scores in there.items()}
    return Result(values, curves, flags, arrays)


def _fitted_scores(
    train: Head | None, labels: np.ndarray, head: Head | None, count: int, neighbours: int, dimension: int | None
) -> dict[str, np.ndarray]:
    """Return the scores of features; NaN for all images where features are missing or not finite."""
    if train is None or head is None or not (train.finite and head.finite):
        return dict.fromkeys(FITTED, np.full(count, np.nan))
    return {
        "knn": nearest_neighbour(train.features, head.features, neighbours=neighbours),
        "mahalanobis": mahalanobis(train.features, labels, head.features),
        "vim": virtual_logit(train, head, dimension=dimension),
    }


class _Score:
    """One score of both sets of images."""

    def __init__(self, here: np.ndarray, there: np.ndarray) -> None:
        self._here, self._there = here, there
        self._scores = np.concatenate([here, there])
        self._inside = np.arange(len(self._scores)) < len(here)
        self.finite = bool(np.isfinite(self._scores).all()) and len(here) > 0 and len(there) > 0

    def values(self) -> dict[str, Value]:
        better = {"auroc": True, "aupr_in": True, "aupr_out": True, "fpr95": False}
        if not self.finite:
            return {metric: Value(None, None, None, 0, higher) for metric, higher in better.items()}
        everyone = np.arange(len(self._scores))
        metrics = ood_metrics(self._scores, self._inside, everyone[None])
        drawn: list[OodMetrics] = []

        def keep(rows: np.ndarray) -> np.ndarray:
            drawn.append(ood_metrics(self._scores, self._inside, rows))
            return drawn[-1].auroc

        # one set of resamples for all four metrics
        bootstrap(everyone, strata=self._inside, statistic=keep)
        result = {}
        for metric, higher in better.items():
            value = float(getattr(metrics, metric)[0])
            low, high = np.quantile(np.concatenate([getattr(part, metric) for part in drawn]), [0.025, 0.975])
            result[metric] = Value(value, min(float(low), value), max(float(high), value), len(everyone), higher)
        return result

    def curves(self, name: str) -> dict[str, Curve]:
        if not self.finite:
            return {}
        fpr, tpr = roc(self._scores, self._inside)
        here, there = histograms([self._here, self._there], name.replace("_", " "))
        return {
            "roc": Curve(
                fpr.tolist(),
                tpr.tolist(),
                None,
                None,
                "out-of-distribution images accepted",
                "in-distribution images accepted",
            ),
            "in": here,
            "out": there,
        }


def _count(n: int) -> Value:
    return Value(float(n), None, None, n, None)
