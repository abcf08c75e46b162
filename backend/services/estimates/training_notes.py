"""Effects of a training's options on its loss, memory and time, in sentences."""

from collections.abc import Iterator
from math import ceil

from densitylab.backend.shared.contracts import RunSpec


def largest_part(batch: int, spec: RunSpec) -> int:
    """Return the number of images that are computed at once, of a batch of `batch`."""
    return ceil(batch / spec.gradient_accumulation)


def notes(spec: RunSpec, batch: int, classes: int | None) -> Iterator[str]:
    """Yield a sentence for each option that differs from its default.

    Args:
        spec: of the run.
        batch: images of a step, at most the training images.
        classes: K; None: not known.
    """
    if spec.label_smoothing:
        target = f"{1 - spec.label_smoothing + spec.label_smoothing / classes:.3g}" if classes else "less than 1"
        yield (
            f"Label smoothing {spec.label_smoothing:g}: the target of the label is {target} instead of 1, so the "
            "cross-entropy in training does not approach 0; validation reports it without smoothing."
        )
    if spec.class_weights == "balanced":
        yield "Balanced class weights: in the loss each class counts by the same total, however many images it has."
    if spec.gradient_accumulation > 1:
        yield (
            f"Each batch of {batch} images is computed in {spec.gradient_accumulation} parts of at most "
            f"{largest_part(batch, spec)}, which the memory above counts: the same steps, but batch norm sees one part "
            "at a time."
        )
    if spec.activation_checkpointing:
        yield (
            "Activations are computed again in each backward pass: about a third more time for a plain step, and less "
            "memory than stated above."
        )
