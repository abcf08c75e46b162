"""Flags of a run whose training ended badly."""

import math
from collections.abc import Iterable

import numpy as np

from densitylab.backend.shared.contracts import Flag, MetricSeries
from densitylab.worker.evaluations.result import at_chance

FAR_ABOVE = 3.0  # times the cross-entropy at the start
OVERFITTED = 0.3  # difference of the accuracies under the attack of the training and under PGD
CURVES = (
    "cross_entropy",
    "validation_cross_entropy",
    "validation_accuracy",
    "validation_fgsm_accuracy",
    "validation_pgd_accuracy",
)


def outcome_flags(
    curves: Iterable[MetricSeries], *, epoch: int | None, images: int, classes: int, largest_class: int = 0
) -> list[Flag]:
    """Return a flag if the run ends at chance or with one answer for all images, one if it has overfitted to the attack
    of its training, and one if its loss ends far above its start, or is not finite.

    Args:
        curves: of the run, those of CURVES, with all epochs.
        epoch: whose weights the run keeps; None: the last.
        images: number of validation images.
        classes: K.
        largest_class: number of validation images of the most frequent class; 0: not known.
    """
    points = {curve.name: curve.points for curve in curves if curve.points}
    kept: dict[str, float] = {}
    for name, of_epochs in points.items():
        value = next((point for point in of_epochs if point.epoch == epoch), of_epochs[-1]).value
        kept[name] = math.nan if value is None else value  # a database may store NaN as NULL
    flags = []
    accuracy = kept.get("validation_accuracy")
    if accuracy is not None and math.isfinite(accuracy):
        right = round(accuracy * images)
        flags += [Flag(key=flag.key, text=flag.text) for flag in at_chance(np.arange(images) < right, classes)]
        if not flags and right == largest_class > 0:
            flags.append(
                Flag(
                    key="at_chance",
                    text=f"{right} of {images} validation images are classified correctly, exactly as many as by "
                    "always answering the most frequent class. Evaluations of such a model show nothing about the "
                    "features that it uses. Next: another learning rate, or class_weights balanced.",
                )
            )
    flags += _overfitted(kept)
    images_name = "validation" if "validation_cross_entropy" in kept else "training"
    loss = kept.get("validation_cross_entropy", kept.get("cross_entropy"))
    if loss is not None:
        start = max(math.log(classes), points["cross_entropy"][0].value) if "cross_entropy" in points else math.nan
        if not loss <= FAR_ABOVE * start:
            flags.append(
                Flag(
                    key="loss_above_start",
                    text=f"The cross-entropy on the {images_name} images ends at {loss:.3g}, far above its start of "
                    f"{start:.3g}: the training diverged. Next: a smaller learning rate, a smaller λ, or gradient "
                    "clipping.",
                )
            )
    return flags


def _overfitted(kept: dict[str, float]) -> list[Flag]:
    single, several = kept.get("validation_fgsm_accuracy"), kept.get("validation_pgd_accuracy")
    if single is None or several is None or not single - several > OVERFITTED:
        return []
    return [
        Flag(
            key="catastrophic_overfitting",
            text=f"The accuracy on validation images is {single:.3g} under the single step of the training's attack, "
            f"and {several:.3g} under PGD: the model has overfitted to that step (catastrophic overfitting) and is not "
            "robust. Next: a smaller epsilon or step, early stopping, or adversarial training with several steps.",
        )
    ]
