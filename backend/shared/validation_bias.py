"""Whether the validation images have the groups of the training images in the same shares, and the test images not."""

from collections.abc import Mapping, Sequence

_SHIFT = 0.1  # least distance of shares in training and testing that counts


def biased_validation(group_counts: Mapping[str, Sequence[int]]) -> str | None:
    """Return what follows, in sentences, where the shares of groups among the validation images are those of the
    training images, and the test images have others; None where not, or without groups.

    Shares are compared by half the sum of their absolute differences.

    Args:
        group_counts: per split, images per group, in the order of the groups.
    """
    train, validation, test = (_shares(group_counts.get(split, ())) for split in ("train", "validation", "test"))
    if not train or not len(train) == len(validation) == len(test):
        return None
    shifted = _distance(train, test)
    if shifted < _SHIFT or _distance(train, validation) > shifted / 4:
        return None
    rare = min(range(len(test)), key=lambda group: validation[group] / test[group] if test[group] else 1.0)
    count = group_counts["validation"][rare]
    images = "1 validation image" if count == 1 else f"{count:,} validation images"
    return (
        f"The validation images have the same bias as the training images: group {rare} is {validation[rare]:.1%} of "
        f"them, {train[rare]:.1%} of the training and {test[rare]:.1%} of the test images. Their mean accuracy says "
        f"little of the test images, and the accuracy of that group rests on {images}. Next: choose by the worst group "
        "(validation_worst_group), or hold out validation images with the groups of the test images."
    )


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [count / total for count in counts] if total else []


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / 2
