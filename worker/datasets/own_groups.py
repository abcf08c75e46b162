"""The groups of a user's images: as a column says, or the label crossed with attributes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from densitylab.worker.datasets.own_images import MAX_GROUPS, Attribute, BadFolder, crossed

_ALL_CROSSED = 32  # groups up to which all attributes are crossed unless the user says which


def groups_of(
    labels: np.ndarray,
    class_names: Sequence[str],
    attributes: Sequence[Attribute],
    group: Attribute | None,
    group_by: Sequence[str] | None,
) -> Attribute | None:
    """Return the groups; None for none.

    Args:
        labels: (N,).
        class_names: in their order.
        attributes: of the images.
        group: a column that says the groups itself; it is used unless `group_by` is given.
        group_by: attributes to cross with the label. None: all, if that gives at most 32 groups, or else the first.
            Empty: there are no groups.

    Raises:
        BadFolder: an attribute does not exist, or there are more than MAX_GROUPS groups.
    """
    if group_by is not None:
        by_name = {attribute.name: attribute for attribute in attributes}
        unknown = [name for name in group_by if name not in by_name]
        if unknown:
            raise BadFolder(
                f"there is no attribute {unknown[0]!r} to group by: expected one of {', '.join(by_name) or 'none'}"
            )
        chosen = [by_name[name] for name in group_by]
        return crossed(labels, class_names, chosen) if chosen else None
    if group is not None:
        if len(group.values) > MAX_GROUPS:
            raise BadFolder(f"{group.name} has {len(group.values):,} groups, expected at most {MAX_GROUPS}")
        return group
    if not attributes:
        return None
    total = len(class_names) * prod(len(attribute.values) for attribute in attributes)
    if total <= _ALL_CROSSED:
        return crossed(labels, class_names, attributes)
    if len(class_names) * len(attributes[0].values) > MAX_GROUPS:
        return None
    return crossed(labels, class_names, attributes[:1])
