"""A sentence on the images behind the worst group's results of a launch."""

from collections.abc import Mapping, Sequence

from densitylab.backend.shared.catalog import Catalog, EvaluationEntry
from densitylab.backend.shared.contracts import RunSpec
from densitylab.backend.shared.statistics.estimates import wilson

_ENOUGH = 200  # images, as of every evaluation


def note(spec: RunSpec, catalog: Catalog, group_counts: Mapping[str, Sequence[int]]) -> str | None:
    """Return how wide the intervals of the worst group's results are for their few images; None without such results,
    and where the smallest group has at least 200 of the images.

    Args:
        spec: of one run; its evaluations on validation images, which only select λ, do not count.
        catalog: says which results are those of groups.
        group_counts: per split, images per group.
    """
    counts = group_counts.get("test", ())
    total, smallest = sum(counts), min((count for count in counts if count), default=0)
    fewest = None
    for item in spec.evaluations:
        entry = catalog.find(EvaluationEntry, item.key)
        grouped = entry.needs_groups or any(metric.needs_groups for metric in entry.metrics)
        own_groups = bool(item.params.get("attributes"))  # made of attributes, whose sizes are not known here
        if grouped and smallest and item.split != "validation" and not own_groups:
            share = min(1.0, (item.params.get("samples") or total) / total)
            images = max(1, round(smallest * share))
            fewest = images if fewest is None else min(fewest, images)
    if fewest is None or fewest >= _ENOUGH:
        return None
    low, high = wilson(0.5, fewest)
    known = f"the worst group's accuracy of a run is known to ±{50 * (high - low):.0f} points at worst"
    if fewest < smallest:
        return (
            f"The smallest group has about {fewest} of the images that are evaluated: {known}. All {total:,} test "
            f"images have {smallest} of it."
        )
    return (
        f"The smallest group has {smallest} test images: {known}. More seeds narrow the spread of trainings, "
        "not that of images, over which a claim on Compare is tested too."
    )
