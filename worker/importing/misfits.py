"""The weights that do not fit, one by one, with the nearest names of the other side.

misfits(fit) -> Misfits(total, items)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from densitylab.worker.importing.fitting import Fit, Shape

Problem = Literal["missing", "unexpected", "wrong_shape"]
LISTED = 100  # of each problem
_CANDIDATES = 500  # names among which the nearest is looked for


@dataclass(frozen=True)
class Misfit:
    """A weight that does not fit."""

    problem: Problem  # missing: in the file; unexpected: the network lacks it
    name: str
    file_shape: Shape | None  # None: the file does not have it
    network_shape: Shape | None  # None: the network does not have it
    nearest: str | None = None  # most similar name of the other side that has no partner either
    nearest_shape: Shape | None = None


@dataclass(frozen=True)
class Misfits:
    """The weights that do not fit, the first of each problem."""

    total: int
    items: list[Misfit]


def misfits(fit: Fit) -> Misfits:
    """Return the weights of a file and a network that do not fit."""
    missing, unexpected, wrong = fit.missing, fit.unexpected, fit.wrong_shapes
    file_shapes = {name: tuple(fit.tensors[name].shape) for name in unexpected}
    items = [Misfit("wrong_shape", item.name, item.file, item.network) for item in wrong[:LISTED]]
    for name, near in _nearest(missing, unexpected):
        shape = file_shapes[near] if near is not None else None
        items.append(Misfit("missing", name, None, fit.shapes[name], near, shape))
    for name, near in _nearest(unexpected, missing):
        shape = fit.shapes[near] if near is not None else None
        items.append(Misfit("unexpected", name, file_shapes[name], None, near, shape))
    return Misfits(len(missing) + len(unexpected) + len(wrong), items)


def _nearest(names: list[str], others: list[str]) -> Iterator[tuple[str, str | None]]:
    """Yield the first names, each with the most similar one of the others."""
    candidates = others[:_CANDIDATES]
    for name in names[:LISTED]:
        yield name, next(iter(get_close_matches(name, candidates, n=1)), None)
