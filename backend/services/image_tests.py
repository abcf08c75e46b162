"""Tests between runs on the same images, from the values that evaluations keep for each image."""

from collections.abc import Sequence

import numpy as np

from densitylab.backend.services.values_per_image import InGroups, Values, ValuesPerImage
from densitylab.backend.shared.statistics.groups import Column, Group
from densitylab.backend.shared.statistics.paired_tests import ImageTest, compare_images, compare_worst_groups


def between_groups(per_image: ValuesPerImage, first: Group, second: Group, column: Column) -> ImageTest | None:
    """Return the test between two groups on the same images, of means over their common seeds or, of a worst group's
    result, of the lowest mean of a group."""
    ours, theirs = (
        {run.spec.seed: run for run in sorted(group.runs, key=lambda run: run.id) if column.result in run.results}
        for group in (first, second)
    )
    paired = [(ours[seed], theirs[seed]) for seed in sorted(ours.keys() & theirs.keys())]
    means = of_means([(per_image.of(one, column), per_image.of(other, column)) for one, other in paired])
    if means is not None:
        return means
    return _worst_group_test(
        [(per_image.of_groups(one, column), per_image.of_groups(other, column)) for one, other in paired]
    )


def of_means(pairs: Sequence[tuple[Values | None, Values | None]]) -> ImageTest | None:
    """Return the test of means over pairs of arrays, of the images with a value in all of them."""
    firsts = [first for first, second in pairs if first is not None and second is not None]
    seconds = [second for first, second in pairs if first is not None and second is not None]
    if len(firsts) < len(pairs) or not pairs:
        return None
    size = min(map(len, [*firsts, *seconds]))  # an index beyond is not in all of them
    first, second = (np.mean([array[:size] for array in arrays], axis=0) for arrays in (firsts, seconds))
    known = np.isfinite(first) & np.isfinite(second)
    return compare_images(first[known], second[known]) if known.any() else None


def _worst_group_test(pairs: Sequence[tuple[InGroups | None, InGroups | None]]) -> ImageTest | None:
    """Return the test of worst groups over pairs of arrays with their groups, of the images with a value in all of
    them; None where the groups differ."""
    found = [item for pair in pairs for item in pair if item is not None]
    if len(found) < 2 * len(pairs) or not found:
        return None
    size = min(len(values) for values, _ in found)
    values, groups = (np.stack([arrays[index][:size] for arrays in found]) for index in (0, 1))
    known = np.isfinite(values).all(axis=0)
    values, groups = values[:, known], groups[:, known]
    if not known.any() or (groups != groups[0]).any():
        return None
    return compare_worst_groups(values[::2], values[1::2], groups[0])
