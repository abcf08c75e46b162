"""The last three figures of the gallery: metrics over λ and over the strength of a perturbation."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.gallery.pictures import LINES, name, plain
from benchmarks.gallery.requests import EPSILON, LAMBDAS, SHOWN, STRENGTHS, GalleryData
from densitylab.backend.services.comparisons import result_bounds
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.statistics.estimates import Estimate, estimate
from densitylab.frontend.charts.stability_curves import CONTROLS

L2, SHARE, ACCURACY, ROBUST = "leakage.l2", "leakage.share", "accuracy.accuracy", "pgd_linf.accuracy"
METRIC = "cosine"
AXES = {
    "noise": "standard deviation of Gaussian noise, pixels of [0, 1]",
    "attack": "epsilon of the attack, L∞, pixels of [0, 1]",
}

BOUNDS = result_bounds(Catalog.built_in())  # of results, by evaluation and value


def values(data: GalleryData, lambda_: float, result: str) -> list[float]:
    """Return a result of the runs of one λ, seed by seed."""
    known = [run.results[result].value for run in data.runs if run.spec.lambda_ == lambda_ and result in run.results]
    return [value for value in known if value is not None]


def mean(data: GalleryData, lambda_: float, result: str) -> Estimate:
    """Return the mean over seeds. Raises ValueError if no seed has the result."""
    made = estimate(values(data, lambda_, result), BOUNDS(*result.split(".")))
    if made is None:
        raise ValueError(f"no run of λ = {lambda_:g} has {result}")
    return made


def similarity(data: GalleryData, perturbation: str, lambda_: float, strength: float, metric: str = METRIC) -> Estimate:
    """Return the mean similarity of maps over seeds; for a single seed, with the evaluation's interval over images.

    Raises ValueError if no seed has it.
    """
    known = [
        value
        for points in data.stability[perturbation][lambda_].values()
        for point in points
        if point.strength == strength and (value := point.value(metric))
    ]
    made = estimate([value.value for value in known if value.value is not None], BOUNDS("stability", metric))
    if made is None:
        raise ValueError(f"no run of λ = {lambda_:g} has {metric} at {strength:g}")
    return Estimate(made.mean, known[0].low, known[0].high, 1) if made.n == 1 else made


def leakage(data: GalleryData) -> Figure:
    """Draw absolute leakage and leakage share over λ."""
    drawn = Figure(figsize=(9.2, 3.9), layout="constrained")
    for axes, (result, words) in zip(
        drawn.subplots(1, 2),
        ((L2, "leakage: L2 norm of the gradient on the null block"), (SHARE, "leakage share")),
        strict=True,
    ):
        means = [mean(data, lambda_, result) for lambda_ in LAMBDAS]
        for index, lambda_ in enumerate(LAMBDAS):
            own = values(data, lambda_, result)
            axes.plot([index] * len(own), own, ".", color="0.6", markersize=5, label="one seed" if index == 0 else None)
        _means(axes, range(len(LAMBDAS)), means, "#0072B2", "mean over seeds, 95 % interval")
        axes.set_xticks(range(len(LAMBDAS)), [f"{lambda_:g}" for lambda_ in LAMBDAS])
        axes.set_xlabel("λ")
        axes.set_ylabel(words)
        plain(axes)
    first, second = drawn.axes
    first.set_yscale("log")
    first.yaxis.set_major_formatter("{x:g}")
    second.axhline(0.5, color="0.35", linestyle="--", linewidth=1)
    second.annotate(
        "chance: the null block is half the image",
        (len(LAMBDAS) - 1, 0.5),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right",
        fontsize=8.5,
        color="0.25",
    )
    second.set_ylim(0, 0.56)
    first.legend(frameon=False, fontsize=9)
    return drawn


def stability(data: GalleryData) -> Figure:
    """Draw the similarity of the maps before and after, with the controls."""
    drawn = Figure(figsize=(9.2, 4.6), layout="constrained")
    for axes, (perturbation, (_, strengths, _)) in zip(
        drawn.subplots(1, 2, sharey=True), STRENGTHS.items(), strict=True
    ):
        for lambda_ in SHOWN:
            _means(
                axes,
                strengths,
                [similarity(data, perturbation, lambda_, at) for at in strengths],
                LINES[lambda_],
                name(lambda_),
            )
            for control, (words, _) in CONTROLS.items():
                means = [similarity(data, perturbation, lambda_, at, f"{METRIC}_{control}").mean for at in strengths]
                axes.plot(
                    strengths,
                    means,
                    color=LINES[lambda_],
                    alpha=0.55,
                    linewidth=1.1,
                    linestyle={"random_map": ":", "random_weights": "--"}[control],
                    label=f"control: {words}" if lambda_ == SHOWN[0] else None,
                )
        axes.set_xlabel(AXES[perturbation])
        plain(axes)
    first = drawn.axes[0]
    first.set_ylabel("cosine of the maps before and after\n(1: identical maps)")
    handles, labels = first.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda index: labels[index].startswith("control"))
    drawn.legend(
        [handles[index] for index in order],
        [labels[index] for index in order],
        ncols=len(order),
        loc="outside lower center",
        frameon=False,
        fontsize=9,
    )
    return drawn


def robustness(data: GalleryData) -> Figure:
    """Draw accuracy under attack against accuracy, one point per λ."""
    drawn = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = drawn.subplots()
    across, up = ([mean(data, lambda_, result) for lambda_ in LAMBDAS] for result in (ACCURACY, ROBUST))
    for lambda_ in LAMBDAS:
        axes.plot(
            values(data, lambda_, ACCURACY),
            values(data, lambda_, ROBUST),
            ".",
            color=LINES[lambda_],
            alpha=0.5,
            markersize=6,
        )
    axes.plot([item.mean for item in across], [item.mean for item in up], color="0.6", linewidth=1, zorder=1)
    for lambda_, x, y in zip(LAMBDAS, across, up, strict=True):
        axes.errorbar(
            x.mean,
            y.mean,
            xerr=_whiskers([x]),
            yerr=_whiskers([y]),
            color=LINES[lambda_],
            marker="o",
            markersize=7,
            linewidth=1,
            capsize=2,
        )
        axes.annotate(name(lambda_), (x.mean, y.mean), xytext=(8, 6), textcoords="offset points", fontsize=9.5)
    axes.set_xlabel("test accuracy (→ better)")
    axes.set_ylabel(f"accuracy under PGD, L∞ {EPSILON:g} (↑ better)")
    plain(axes)
    return drawn


def _means(axes: Axes, at: Sequence[float] | range, means: Sequence[Estimate], color: str, label: str) -> None:
    axes.errorbar(
        list(at),
        [item.mean for item in means],
        yerr=_whiskers(means),
        color=color,
        marker="o",
        markersize=5,
        linewidth=1.6,
        capsize=3,
        label=label,
    )


def _whiskers(means: Sequence[Estimate]) -> list[list[float]]:
    """Return the lengths of the error bars downwards and upwards, 0 where there is no interval."""
    down = [0.0 if item.low is None else item.mean - item.low for item in means]
    return [down, [0.0 if item.high is None else item.high - item.mean for item in means]]
