"""Warnings of an imported run, from its normalisation check and what its file had."""

from collections.abc import Sequence

from scipy.stats import binomtest

from densitylab.backend.shared.contracts import Flag, RunSource
from densitylab.worker.evaluations.intervals import wilson
from densitylab.worker.importing.class_order_check import OtherOrder
from densitylab.worker.importing.normalization_check import Check, Trial

LISTED = 20  # classes of another order that are named
_ABOVE_CHANCE = 0.025  # p of the binomial test, over all trials


def import_flags(
    check: Check, chosen: int, classes: Sequence[str], source: RunSource, class_order: Sequence[int] | None = None
) -> list[Flag]:
    """Return the warnings of an imported run.

    Args:
        check: of its normalisation.
        chosen: index of the trial whose normalisation the run has.
        classes: names of the data set's classes.
        source: what was read.
        class_order: index of the output of each class; None: the same order.
    """
    flags = []
    trial, best = check.trials[chosen], check.trials[0]
    if trial.other_order is not None:
        flags.append(_class_order_doubtful(trial, trial.other_order, classes, class_order or range(len(classes))))
    if check.is_worse(trial):
        flags.append(
            Flag(
                key="normalization_doubtful",
                text=f"The declared normalisation gives {trial.summary}, and {best.normalization.label} gives "
                f"{best.summary}. Next: import it with that normalisation.",
            )
        )
    if _at_chance(trial, len(classes), len(check.trials)):
        everywhere = all(_at_chance(other, len(classes), len(check.trials)) for other in check.trials)
        flags.append(
            Flag(
                key="at_chance",
                text=f"Accuracy at chance: {_right(trial)} of {len(trial.correct)} validation images are classified "
                f"correctly, by guessing it is 1 in {len(classes)}"
                f"{', and no usual normalisation gives more than chance' if everywhere else ''}. Evaluations show "
                "nothing about this network. Next: check the normalisation, the data set, the order of its classes and "
                "the image size.",
            )
        )
    if source.missing:
        flags.append(
            Flag(
                key="partial_weights",
                text=f"{len(source.missing)} weights were not in the file and are random. Next: train the network "
                "further, starting from these weights.",
            )
        )
    return flags


def _right(trial: Trial) -> int:
    return int(trial.correct.sum())


def _at_chance(trial: Trial, classes: int, trials: int) -> bool:
    """Return whether a trial may be guessing; the best of several is above chance only if one of them alone rarely is
    (Bonferroni)."""
    test = binomtest(_right(trial), len(trial.correct), 1 / classes, alternative="greater")
    return bool(test.pvalue > _ABOVE_CHANCE / trials)


def _class_order_doubtful(trial: Trial, other: OtherOrder, classes: Sequence[str], used: Sequence[int]) -> Flag:
    n = len(trial.correct)
    low, high = trial.interval
    right = int(other.correct.sum())
    other_low, other_high = wilson(right, n)
    order = [used[position] for position in other.outputs]
    changed = [
        f"{name} → {output}" for name, output, before in zip(classes, order, used, strict=True) if output != before
    ]
    more = f" and {len(changed) - LISTED} more" if len(changed) > LISTED else ""
    return Flag(
        key="class_order_doubtful",
        text=f"The outputs seem to belong to other classes: accuracy {trial.accuracy:.4f} ({low:.4f} to {high:.4f}) in "
        f"the order used, and {right / n:.4f} ({other_low:.4f} to {other_high:.4f}) in the order found, on {n:,} "
        "validation images (found on one half of them and measured on the other, both ways). Class → output: "
        f"{', '.join(changed[:LISTED])}{more}. Next: if that is the order of the training, import it with class_order "
        f"{order}.",
    )
