"""Networks of the catalog whose weights have the names and shapes of a file, the best first.

Parameters are guessed: each is varied in turn, a number over the sizes that occur in the file, and the value that fits
best is kept. Networks are built on torch's meta device, without memory for their weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from densitylab.backend.shared.catalog import Catalog, ModelEntry
from densitylab.backend.shared.catalog.params import Param
from densitylab.worker import resolve
from densitylab.worker.errors import Interrupted
from densitylab.worker.importing.fitting import Fit, best_fit
from densitylab.worker.importing.parts import Part

LISTED = 5
_ROUNDS = 2
_SMALL = 24  # numbers up to which all are tried
_MOST_VALUES = 60  # per parameter


@dataclass(frozen=True)
class Ranked:
    """A network of the catalog, with the parameters that differ from their defaults."""

    entry: ModelEntry
    params: Mapping[str, Any]
    fit: Fit


def rank(
    catalog: Catalog,
    parts: list[Part],
    shape: tuple[int, int, int],
    outputs: int,
    *,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> list[Ranked]:
    """Return the networks of which at least one weight agrees, the best first, at most five.

    Parameters are guessed in the order of how many names of weights the file has, until one network fits completely.

    Args:
        catalog: its models are tried.
        parts: of the file.
        shape: (channels, height, width) of the network's images.
        outputs: of the network.
        progress: called with the fraction done.
        should_stop: asked before each network.

    Raises:
        Interrupted: `should_stop()` returned True.
    """
    sizes = sorted({size for part in parts for tensor in part.tensors.values() for size in tensor.shape})

    def tried(entry: ModelEntry, params: Mapping[str, Any]) -> Ranked | None:
        if should_stop():
            raise Interrupted("the inspection was stopped")
        channels, height, width = shape
        try:
            build = resolve.component(catalog, ModelEntry, entry.key, params).function
            with torch.device("meta"):
                network = build(channels, (height, width), outputs)
        except Exception:  # of a combination that the network does not have, or a plug-in that fails
            return None
        shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        return Ranked(entry, params, best_fit(parts, shapes))

    found = [(entry, tried(entry, {})) for entry in catalog.all(ModelEntry)]
    found.sort(key=lambda item: -_common_names(item[1]))
    ranked: list[Ranked] = []
    complete = False
    for index, (entry, default) in enumerate(found):
        progress(index / len(found))
        best = default if complete else _guess(entry, default, tried, sizes)
        if best is not None and best.fit.matching:
            ranked.append(best)
            complete = complete or best.fit.complete
    return sorted(ranked, key=lambda item: item.fit.score, reverse=True)[:LISTED]


def _common_names(item: Ranked | None) -> int:
    return 0 if item is None else len(set(item.fit.needed) & set(item.fit.tensors))


def _guess(
    entry: ModelEntry,
    default: Ranked | None,
    tried: Callable[[ModelEntry, Mapping[str, Any]], Ranked | None],
    sizes: list[int],
) -> Ranked | None:
    """Return the network with the parameters that fit best, from its fit with the default ones."""
    best = default
    varied = [param for param in entry.params if not param.first_weights and any(True for _ in _values(param, sizes))]
    for _ in range(_ROUNDS if len(varied) > 1 else 1):
        before = best
        for param in varied:
            if best is not None and best.fit.complete:
                break
            kept = {} if best is None else dict(best.params)
            for value in _values(param, sizes):
                other = tried(entry, {**kept, param.name: value})
                if other is not None and (best is None or other.fit.score > best.fit.score):
                    best = other
        if best is before:
            break
    return best


def _values(param: Param, sizes: list[int]) -> Iterator[Any]:
    """Yield values of a parameter that may change a network's weights, other than its default."""
    if param.type == "bool":
        values: list[Any] = [True, False]
    elif param.choices:
        values = list(param.choices)
    elif param.type == "int":
        low, high = int(param.minimum or 0), int(param.maximum or 2**31)
        values = sorted({number for number in (*range(_SMALL + 1), *sizes) if low <= number <= high})[:_MOST_VALUES]
    else:
        values = []
    yield from (value for value in values if value != param.default)
