"""The gallery's page: each figure with a caption. Numbers and verdicts of the captions come from the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

import numpy as np

from benchmarks.gallery import charts, pictures
from benchmarks.gallery.requests import (
    ATTACKED,
    EPSILON,
    IMAGES,
    LAMBDAS,
    SEEDS,
    SHOWN,
    STABILITY_IMAGES,
    STABILITY_SEEDS,
    STRENGTHS,
    GalleryData,
)
from densitylab.backend.shared.contracts import Density
from densitylab.backend.shared.statistics.estimates import Estimate
from densitylab.frontend.analysis.comparison import text
from densitylab.frontend.charts.density import relative

INTRODUCTION = """# The story in six pictures

The hypothesis of marginal-density smoothing (Yang, Akhtar, Shah, Mian, ECCV 2024): a classifier relies on uninformative
features where its input marginal density p(x) is rough. Smoothing log p with λ · ‖∇ₓ log p(x)‖² should fix that:
gradients concentrate on the informative part of the image and stay stable under perturbation, and attacks become
weaker. The pictures show the effect on the embedded BlockMNIST, where a digit stands above or below an uninformative
null block.

`make gallery` made the pictures and every number below from {runs} runs that it launched: MLP (512-512, ReLU), {epochs}
epochs, λ = {lambdas}, seeds {seeds}. Pictures 1 to 3 show seed {seed} and the first test images, not selected ones:
they illustrate and prove nothing. Pictures 4 and 6 are means over seeds with 95 % Student-t intervals. A verdict calls
two means different where their intervals do not overlap; three seeds make wide intervals.
"""
END = """
The pictures do not compare smoothing with its rivals. On this network curvature regularization and adversarial training
are more robust at the same accuracy: see [comparison.md](comparison.md). [evaluations.md](evaluations.md) defines each
metric.
"""


def page(data: GalleryData) -> str:
    """Return the page as markdown; its pictures are in the folder gallery beside it."""
    parts = [
        INTRODUCTION.format(
            runs=len(data.runs),
            epochs=data.runs[0].spec.epochs,
            seed=SEEDS[0],
            lambdas=joined_lambdas(LAMBDAS),
            seeds=", ".join(map(str, SEEDS)),
        )
    ]
    for number, (key, (title, _, caption)) in enumerate(FIGURES.items(), start=1):
        parts.append(f"## {number}. {title}\n\n![{title}](gallery/{file_name(number, key)})\n\n{caption(data)}\n")
    return "\n".join([*parts, END.lstrip()])


def file_name(number: int, key: str) -> str:
    return f"{number}-{key}.png"


def joined_lambdas(lambdas: Sequence[float]) -> str:
    return ", ".join(f"{item:g}" for item in lambdas)


# ---- captions ---------------------------------------------------------------------------------------------------


def gradients(data: GalleryData) -> str:
    answer, count = data.gradients.answer, len(IMAGES)
    norms = np.linalg.norm(data.gradients.maps.attributions.reshape(len(LAMBDAS), count, -1), axis=2).mean(axis=1)
    shares = [
        [
            panel.leakage_share
            for panel in answer.panels[row * count : (row + 1) * count]
            if panel.leakage_share is not None
        ]
        for row in range(len(LAMBDAS))
    ]
    rows = "; ".join(
        f"{item:g}: {norm:.2g}, {fmean(share):.0%}" if share else f"{item:g}: {norm:.2g}, undefined"
        for item, norm, share in zip(LAMBDAS, norms, shares, strict=True)
    )
    return (
        f"Gradients of the true class's logit: red raises it, blue lowers it. The upper half has one scale for all "
        f"maps: without smoothing they cover the whole image, null block included, and with λ they fade. A penalty on "
        f"gradients does that by construction, so the lower half scales each map separately and shows where it is "
        f"concentrated. Mean L2 norm of the map, and share of its square on the null block, over these {count} "
        f"images, by λ: {rows}."
    )


def attack(data: GalleryData) -> str:
    panels = data.attack.answer.panels
    parts = []
    for lambda_, panel in zip(data.attack.lambdas, panels, strict=True):
        moved = panel.perturbed
        if moved is None:
            raise ValueError("this panel has no perturbation")
        names = data.class_names
        became = "stays" if moved.predicted == panel.predicted else f"becomes “{names[moved.predicted]}”"
        parts.append(
            f"λ = {lambda_:g}: “{names[panel.predicted]}” {became} ({moved.confidence:.0%}), cosine of the "
            f"two maps {moved.similarity['cosine']:.2f}"
        )
    return (
        f"Test image {ATTACKED} under an attack on each network (PGD, no pixel changed by more than {EPSILON:g}, "
        f"{STRENGTHS['attack'][2]['steps']} steps), and the gradient before "
        f"and after, with one scale per row. {'. '.join(parts)}. This is one image; picture 5 has the mean over "
        f"{STABILITY_IMAGES}."
    )


def density(data: GalleryData) -> str:
    random, gradient = data.slices["random"], data.slices["gradient"]
    parts = [
        f"λ = {lambda_:g}: {span:.3g} along the random direction, {own:.3g} along ∇ log p, slope at the image "
        f"{item.slope or 0:.3g}"
        for lambda_, span, own, item in zip(
            data.attack.lambdas, _spans(random), _spans(gradient), gradient.of_runs, strict=True
        )
    ]
    return (
        f"log p along straight lines through test image {ATTACKED}, and on the plane of ∇ log p with a random "
        f"direction; contour lines have the same spacing in all planes. Each network's log p is known up to a "
        f"constant, so the charts show differences from the image. Range of log p within "
        f"{random.request.extent:g} of the image: {'; '.join(parts)}. The penalty makes slopes small at the "
        f"training images; the lines show how far from them this holds."
    )


def _spans(slices: Density) -> list[float]:
    """Return the range of log p of each curve."""
    known = [[value for value in relative(item.curve, item) if value is not None] for item in slices.of_runs]
    return [max(values) - min(values) for values in known]


def leakage(data: GalleryData) -> str:
    sizes, shares = (([charts.mean(data, item, result) for item in LAMBDAS]) for result in (charts.L2, charts.SHARE))
    return (
        f"Left: the paper's metric. Right: the share, which a weaker gradient alone does not lower. Leakage by λ "
        f"({joined_lambdas(LAMBDAS)}): {_list(sizes)}; share: {_list(shares)}. "
        + _verdict("The share", LAMBDAS, shares, lower=True)
    )


def stability(data: GalleryData) -> str:
    parts, verdicts = [], []
    for perturbation, (_, strengths, _) in STRENGTHS.items():
        last = strengths[-1]
        alike = [charts.similarity(data, perturbation, item, last) for item in SHOWN]
        words = {"noise": f"noise of {last:g}", "attack": f"the attack of {last:g}"}[perturbation]
        verdicts.append(_verdict(f"Similarity under {words}", SHOWN, alike, lower=False))
        parts.append(f"Under {words}, λ = {joined_lambdas(SHOWN)}: {_list(alike)}. {verdicts[-1]}")
    if any("worse" in verdict for verdict in verdicts):
        parts.append("**This does not support the story**: by this metric smoothed maps are less stable.")
    whose = (
        f"seed {STABILITY_SEEDS[0]} alone, so the intervals are over images and do not cover other seeds"
        if len(STABILITY_SEEDS) == 1
        else f"{len(STABILITY_SEEDS)} seeds"
    )
    return (
        f"Cosine of the gradient before and after, mean over {STABILITY_IMAGES} test images; {whose}. Two "
        f"controls show the value of unrelated maps: a random map, and the same network with random weights. "
        f"{' '.join(parts)}"
    )


def robustness(data: GalleryData) -> str:
    accuracy, robust = (
        ([charts.mean(data, item, result) for item in LAMBDAS]) for result in (charts.ACCURACY, charts.ROBUST)
    )
    return (
        f"One point per λ, from 0 to the largest. Accuracy by λ ({joined_lambdas(LAMBDAS)}): {_list(accuracy)}; "
        f"under attack: {_list(robust)}. "
        + _verdict("Accuracy under attack", LAMBDAS, robust, lower=False)
        + " "
        + _verdict("Accuracy", LAMBDAS, accuracy, lower=False)
    )


def _list(means: Sequence[Estimate]) -> str:
    return ", ".join(map(text, means))


def _verdict(what: str, lambdas: Sequence[float], means: Sequence[Estimate], *, lower: bool) -> str:
    """Compare each λ with λ = 0: better, worse, or no clear difference.

    Args:
        what: name of the metric, capitalised.
        lambdas: starts with 0.
        means: one per λ.
        lower: whether lower is better.
    """
    base = means[0]
    verdicts: dict[str, list[float]] = {"better": [], "worse": [], "no clear difference": []}
    for lambda_, item in zip(lambdas[1:], means[1:], strict=True):
        if None in (item.low, item.high, base.low, base.high) or (item.low <= base.high and base.low <= item.high):
            verdicts["no clear difference"].append(lambda_)
        else:
            verdicts["better" if (item.mean < base.mean) == lower else "worse"].append(lambda_)
    parts = [f"{verdict} at λ = {joined_lambdas(chosen)}" for verdict, chosen in verdicts.items() if chosen]
    return f"{what} compared with no smoothing: {', '.join(parts)}."


# Key of the file -> (title, drawing, caption)
FIGURES: dict[str, tuple[str, Callable, Callable[[GalleryData], str]]] = {
    "gradients": ("Input gradients, over λ", pictures.gradients, gradients),
    "attack": ("An attack and its effect on the map", pictures.attack, attack),
    "density": ("The smoothed density", pictures.density, density),
    "leakage": ("Leakage onto the null block", charts.leakage, leakage),
    "stability": ("Stability of maps under perturbation", charts.stability, stability),
    "robustness": ("Accuracy under attack against accuracy", charts.robustness, robustness),
}
