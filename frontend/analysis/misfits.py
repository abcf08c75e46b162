"""The weights of a file that do not fit a network, as rows of a table."""

from collections.abc import Sequence

from densitylab.backend.shared.contracts import Misfit, Misfits
from densitylab.frontend.analysis.formatting import counted

HEADING = ("Problem", "Name", "In the file", "In the network", "Nearest name")
_PROBLEMS = {"missing": "missing in the file", "unexpected": "not in the network", "wrong_shape": "another shape"}


def misfit_rows(misfits: Misfits) -> list[tuple[str, ...]]:
    """Return a row of texts per listed weight, in the order of `HEADING`."""
    return [
        (
            _PROBLEMS[item.problem],
            item.name,
            _shape(item.file_shape),
            _shape(item.network_shape),
            _nearest(item),
        )
        for item in misfits.items
    ]


def left_out(misfits: Misfits) -> str | None:
    """Return a sentence on the weights that are not listed; None if all are."""
    more = misfits.total - len(misfits.items)
    return f"{counted(more, 'further weight')} not listed." if more > 0 else None


def _nearest(item: Misfit) -> str:
    return "" if item.nearest is None else f"{item.nearest} ({_shape(item.nearest_shape)})"


def _shape(sizes: Sequence[int] | None) -> str:
    if sizes is None:
        return "—"
    return " × ".join(map(str, sizes)) or "a number"
