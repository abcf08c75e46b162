"""The gallery's page: each figure with a caption whose numbers, and whose verdict, come from what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

import numpy as np

from backend.shared.contracts import Density
from benchmarks.gallery import charts, pictures
from benchmarks.gallery.asked import (
    ATTACKED,
    EPSILON,
    IMAGES,
    LAMBDAS,
    SEEDS,
    SHOWN,
    STABILITY_IMAGES,
    STABILITY_SEEDS,
    STRENGTHS,
    Found,
)
from frontend.aggregate import Estimate
from frontend.density_charts import relative

INTRODUCTION = """# The story in six pictures

What one hopes of marginal-density smoothing (Yang, Akhtar, Shah, Mian, ECCV 2024): a classifier leans on features that
say nothing where its input marginal density p(x) is rough. Smoothing log p with λ · ‖∇ₓ log p(x)‖² shall cure that,
so that gradients fall on what matters and keep when the image is disturbed, and attacks find less to use. Here is what
one sees on the embedded BlockMNIST, where a digit stands above or below a null block that says nothing about it.

`make gallery` made the pictures and every number below from {runs} runs that it launched: MLP (512-512, ReLU), {epochs}
epochs, λ = {lambdas}, seeds {seeds}. Pictures 1 to 3 show seed {seed} and the first test images, not chosen ones: they
illustrate and prove nothing. Pictures 4 and 6 are means over seeds with 95 % Student-t intervals. A verdict calls two
means different where their intervals do not overlap; three seeds make wide intervals.
"""
END = """
What the pictures do not show: how smoothing compares with its rivals. On this network curvature regularization and
adversarial training are more robust at the same accuracy; [comparison.md](comparison.md) has that, and
[measures.md](measures.md) says how each measure is defined.
"""


def page(found: Found) -> str:
    """Markdown; the pictures lie in the folder gallery beside it."""
    parts = [INTRODUCTION.format(runs=len(found.runs), epochs=found.runs[0].spec.epochs, seed=SEEDS[0],
                                 lambdas=joined_lambdas(LAMBDAS), seeds=", ".join(map(str, SEEDS)))]
    for number, (key, (title, _, caption)) in enumerate(FIGURES.items(), start=1):
        parts.append(f"## {number}. {title}\n\n![{title}](gallery/{file_name(number, key)})\n\n{caption(found)}\n")
    return "\n".join([*parts, END.lstrip()])


def file_name(number: int, key: str) -> str:
    return f"{number}-{key}.png"


def joined_lambdas(lambdas: Sequence[float]) -> str:
    return ", ".join(f"{item:g}" for item in lambdas)


# ---- captions ---------------------------------------------------------------------------------------------------


def gradients(found: Found) -> str:
    answer, count = found.gradients.answer, len(IMAGES)
    norms = np.linalg.norm(found.gradients.maps.attributions.reshape(len(LAMBDAS), count, -1), axis=2).mean(axis=1)
    shares = [[panel.leakage_share for panel in answer.panels[place * count:(place + 1) * count]
               if panel.leakage_share is not None] for place in range(len(LAMBDAS))]
    rows = "; ".join(f"{item:g}: {norm:.2g}, {fmean(share):.0%}" if share else f"{item:g}: {norm:.2g}, undefined"
                     for item, norm, share in zip(LAMBDAS, norms, shares, strict=True))
    return (f"Gradients of the true class's logit, red raises and blue lowers it. Above, one scale for all: without "
            f"smoothing the whole image is covered, null block included, and with λ the maps fade. That is what a "
            f"penalty on gradients does by construction, so the lower half gives each map a scale of its own: there "
            f"one sees where the map lies. Mean L2 norm of the map, and share of its square on the null block, over "
            f"these {count} images, by λ: {rows}.")


def attack(found: Found) -> str:
    panels = found.attack.answer.panels
    parts = []
    for lambda_, panel in zip(found.attack.lambdas, panels, strict=True):
        moved = panel.perturbed
        if moved is None:
            raise ValueError("this panel is of no perturbation")
        names = found.class_names
        became = ("stays" if moved.predicted == panel.predicted else f"becomes “{names[moved.predicted]}”")
        parts.append(f"λ = {lambda_:g}: “{names[panel.predicted]}” {became} ({moved.confidence:.0%}), cosine of the "
                     f"two maps {moved.similarity['cosine']:.2f}")
    return (f"Test image {ATTACKED} under an attack on each network (PGD, no pixel changed by more than {EPSILON:g}, "
            f"{STRENGTHS['attack'][2]['steps']} steps, ended where the class is left), and the gradient before and "
            f"after, each row on a scale of its own. {'. '.join(parts)}. One image: picture 5 has the mean over "
            f"{STABILITY_IMAGES}.")


def density(found: Found) -> str:
    random, gradient = found.slices["random"], found.slices["gradient"]
    parts = [f"λ = {lambda_:g}: {span:.3g} along the random direction, {own:.3g} along ∇ log p, slope at the image "
             f"{item.slope or 0:.3g}" for lambda_, span, own, item in zip(
                 found.attack.lambdas, _spans(random), _spans(gradient), gradient.of_runs, strict=True)]
    return (f"log p along straight lines through test image {ATTACKED}, and on the plane of ∇ log p with a random "
            f"direction; contour lines are equally far apart in all planes. Each network's log p is known up to a "
            f"constant, so only differences from the image are drawn. From the lowest to the highest value within "
            f"{random.request.extent:g} of the image: {'; '.join(parts)}. The penalty asks for small slopes at the "
            f"training images; how far from them it still holds is what the lines show.")


def _spans(slices: Density) -> list[float]:
    """Highest less lowest log p of each curve."""
    known = [[value for value in relative(item.curve, item) if value is not None] for item in slices.of_runs]
    return [max(values) - min(values) for values in known]


def leakage(found: Found) -> str:
    sizes, shares = (([charts.mean(found, item, result) for item in LAMBDAS]) for result in (charts.L2, charts.SHARE))
    return (f"Left the paper's measure, right the one that a weaker gradient cannot lower by itself. Leakage by λ "
            f"({joined_lambdas(LAMBDAS)}): {_list(sizes)}; share: {_list(shares)}. "
            + _verdict("The share", LAMBDAS, shares, lower=True))


def stability(found: Found) -> str:
    parts, verdicts = [], []
    for perturbation, (_, strengths, _) in STRENGTHS.items():
        last = strengths[-1]
        alike = [charts.likeness(found, perturbation, item, last) for item in SHOWN]
        words = {"noise": f"noise of {last:g}", "attack": f"the attack of {last:g}"}[perturbation]
        verdicts.append(_verdict(f"Likeness under {words}", SHOWN, alike, lower=False))
        parts.append(f"Under {words}, λ = {joined_lambdas(SHOWN)}: {_list(alike)}. {verdicts[-1]}")
    if any("worse" in verdict for verdict in verdicts):
        parts.append("**This does not support the story**: by this measure smoothed maps keep less.")
    whose = (f"seed {STABILITY_SEEDS[0]} alone, so the intervals are over images and tell nothing of other seeds"
             if len(STABILITY_SEEDS) == 1 else f"{len(STABILITY_SEEDS)} seeds")
    return (f"Cosine of the gradient before and after, mean over {STABILITY_IMAGES} test images; {whose}. Below, two "
            f"controls that say what no likeness looks like: a random map, and the same network with random weights. "
            f"{' '.join(parts)}")


def robustness(found: Found) -> str:
    accuracy, robust = (([charts.mean(found, item, result) for item in LAMBDAS])
                        for result in (charts.ACCURACY, charts.ROBUST))
    return (f"A point per λ, from none to the largest. Accuracy by λ ({joined_lambdas(LAMBDAS)}): {_list(accuracy)}; "
            f"under attack: {_list(robust)}. " + _verdict("Accuracy under attack", LAMBDAS, robust, lower=False)
            + " " + _verdict("Accuracy", LAMBDAS, accuracy, lower=False))


def _list(means: Sequence[Estimate]) -> str:
    return ", ".join(f"{item.mean:.3g} ± {item.half_width or 0:.2g}" for item in means)


def _verdict(what: str, lambdas: Sequence[float], means: Sequence[Estimate], *, lower: bool) -> str:
    """Of each λ against none: better, worse, or not told apart.

    Args:
        what: the measure, at the beginning of a sentence.
        lambdas: 0 first.
        means: one for each λ.
        lower: whether lower is better.
    """
    base, found = means[0], {"better": [], "worse": [], "not told apart": []}  # type: tuple[Estimate, dict]
    for lambda_, item in zip(lambdas[1:], means[1:], strict=True):
        if None in (item.low, item.high, base.low, base.high) or (item.low <= base.high and base.low <= item.high):
            found["not told apart"].append(lambda_)
        else:
            found["better" if (item.mean < base.mean) == lower else "worse"].append(lambda_)
    said = [f"{word} at λ = {joined_lambdas(given)}" for word, given in found.items() if given]
    return f"{what} against no smoothing: {', '.join(said)}."


# By the name of its file: title, drawing, caption
FIGURES: dict[str, tuple[str, Callable, Callable[[Found], str]]] = {
    "gradients": ("What the network looks at, over λ", pictures.gradients, gradients),
    "attack": ("An attack and what it does to the map", pictures.attack, attack),
    "density": ("The density that is smoothed", pictures.density, density),
    "leakage": ("Leakage onto the null block", charts.leakage, leakage),
    "stability": ("Do maps keep when the image is disturbed?", charts.stability, stability),
    "robustness": ("Accuracy against accuracy under attack", charts.robustness, robustness),
}
