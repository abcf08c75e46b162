"""The gallery's last three figures: measures over λ and over a perturbation's strength, three seeds each."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.gallery.asked import EPSILON, LAMBDAS, SHOWN, STRENGTHS, Found
from benchmarks.gallery.pictures import LINES, name, plain
from frontend.aggregate import Estimate, estimate
from frontend.stability_curves import CONTROLS

L2, SHARE, ACCURACY, ROBUST = "leakage.l2", "leakage.share", "accuracy.accuracy", "pgd_linf.accuracy"
MEASURE = "cosine"
AXES = {"noise": "standard deviation of Gaussian noise, pixels of [0, 1]",
        "attack": "epsilon of the attack, L∞, pixels of [0, 1]"}


def values(found: Found, lambda_: float, result: str) -> list[float]:
    """A result of the λ's runs, seed by seed."""
    known = [run.results[result].value for run in found.runs if run.spec.lambda_ == lambda_ and result in run.results]
    return [value for value in known if value is not None]


def mean(found: Found, lambda_: float, result: str) -> Estimate:
    """Over the seeds. Raises ValueError where no seed has the result."""
    made = estimate(values(found, lambda_, result))
    if made is None:
        raise ValueError(f"no run of λ = {lambda_:g} has {result}")
    return made


def likeness(found: Found, perturbation: str, lambda_: float, strength: float, measure: str = MEASURE) -> Estimate:
    """Of the maps before and after: over the seeds; of one seed alone the evaluation's interval, over images.

    Raises ValueError where no seed has it.
    """
    known = [value for points in found.stability[perturbation][lambda_].values() for point in points
             if point.strength == strength and (value := point.value(measure))]
    made = estimate([value.value for value in known if value.value is not None])
    if made is None:
        raise ValueError(f"no run of λ = {lambda_:g} has {measure} at {strength:g}")
    return Estimate(made.mean, known[0].low, known[0].high, 1) if made.n == 1 else made


def leakage(found: Found) -> Figure:
    """Absolute leakage and its share of the whole, over λ."""
    drawn = Figure(figsize=(9.2, 3.9), layout="constrained")
    for axes, (result, words) in zip(drawn.subplots(1, 2), (
            (L2, "leakage: L2 of the gradient on the null block"),
            (SHARE, "share of the squared gradient there")), strict=True):
        means = [mean(found, lambda_, result) for lambda_ in LAMBDAS]
        for place, lambda_ in enumerate(LAMBDAS):
            own = values(found, lambda_, result)
            axes.plot([place] * len(own), own, ".", color="0.6", markersize=5, label="a seed" if place == 0 else None)
        _means(axes, range(len(LAMBDAS)), means, "#0072B2", "mean over seeds, 95 % interval")
        axes.set_xticks(range(len(LAMBDAS)), [f"{lambda_:g}" for lambda_ in LAMBDAS])
        axes.set_xlabel("λ")
        axes.set_ylabel(words)
        plain(axes)
    first, second = drawn.axes
    first.set_yscale("log")
    first.yaxis.set_major_formatter("{x:g}")
    second.axhline(0.5, color="0.35", linestyle="--", linewidth=1)
    second.annotate("chance: the null block is half of the image", (len(LAMBDAS) - 1, 0.5), xytext=(0, 4),
                    textcoords="offset points", ha="right", fontsize=8.5, color="0.25")
    second.set_ylim(0, 0.56)
    first.legend(frameon=False, fontsize=9)
    return drawn


def stability(found: Found) -> Figure:
    """How alike the maps before and after are, with the controls."""
    drawn = Figure(figsize=(9.2, 4.6), layout="constrained")
    for axes, (perturbation, (_, strengths, _)) in zip(drawn.subplots(1, 2, sharey=True), STRENGTHS.items(),
                                                       strict=True):
        for lambda_ in SHOWN:
            _means(axes, strengths, [likeness(found, perturbation, lambda_, at) for at in strengths], LINES[lambda_],
                   name(lambda_))
            for control, (words, _) in CONTROLS.items():
                means = [likeness(found, perturbation, lambda_, at, f"{MEASURE}_{control}").mean for at in strengths]
                axes.plot(strengths, means, color=LINES[lambda_], alpha=0.55, linewidth=1.1,
                          linestyle={"random_map": ":", "random_weights": "--"}[control],
                          label=f"control: {words}" if lambda_ == SHOWN[0] else None)
        axes.set_xlabel(AXES[perturbation])
        plain(axes)
    first = drawn.axes[0]
    first.set_ylabel("cosine of the maps before and after\n(1: the same map)")
    handles, labels = first.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda place: labels[place].startswith("control"))
    drawn.legend([handles[place] for place in order], [labels[place] for place in order], ncols=len(order),
                 loc="outside lower center", frameon=False, fontsize=9)
    return drawn


def robustness(found: Found) -> Figure:
    """Accuracy under attack against accuracy, a point per λ."""
    drawn = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = drawn.subplots()
    across, up = ([mean(found, lambda_, result) for lambda_ in LAMBDAS] for result in (ACCURACY, ROBUST))
    for lambda_ in LAMBDAS:
        axes.plot(values(found, lambda_, ACCURACY), values(found, lambda_, ROBUST), ".", color=LINES[lambda_],
                  alpha=0.5, markersize=6)
    axes.plot([item.mean for item in across], [item.mean for item in up], color="0.6", linewidth=1, zorder=1)
    for lambda_, x, y in zip(LAMBDAS, across, up, strict=True):
        axes.errorbar(x.mean, y.mean, xerr=x.half_width, yerr=y.half_width, color=LINES[lambda_], marker="o",
                      markersize=7, linewidth=1, capsize=2)
        axes.annotate(name(lambda_), (x.mean, y.mean), xytext=(8, 6), textcoords="offset points", fontsize=9.5)
    axes.set_xlabel("test accuracy (→ better)")
    axes.set_ylabel(f"accuracy under PGD, L∞ {EPSILON:g} (↑ better)")
    plain(axes)
    return drawn


def _means(axes: Axes, at: Sequence[float] | range, means: Sequence[Estimate], color: str, label: str) -> None:
    axes.errorbar(list(at), [item.mean for item in means], yerr=[item.half_width or 0.0 for item in means],
                  color=color, marker="o", markersize=5, linewidth=1.6, capsize=3, label=label)
