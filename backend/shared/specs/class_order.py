"""The outputs of a network from elsewhere, matched to a data set's classes by their names."""

import re
from collections.abc import Sequence


def class_order(classes: Sequence[str], outputs: Sequence[str]) -> list[int] | None:
    """Return for each class the index of the output of the same name; None unless every class has one.

    Names agree if their letters and digits do; otherwise a name that contains the other, or is contained in it, is
    taken if it is the only one.

    Args:
        classes: names of the data set's classes.
        outputs: names of the network's outputs.
    """
    plain = [_plain(name) for name in outputs]
    order = []
    for name in map(_plain, classes):
        found = [index for index, other in enumerate(plain) if other == name]
        if not found and name:
            found = [index for index, other in enumerate(plain) if other and (name in other or other in name)]
        if len(found) != 1:
            return None
        order += found
    return order if order and len(set(order)) == len(order) else None


def unmatched(classes: Sequence[str], outputs: Sequence[str]) -> list[str]:
    """Return the classes of which no output, or more than one, has the name."""
    return [name for name in classes if class_order([name], outputs) is None]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())
