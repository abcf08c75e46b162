"""Compare the tensors of a file with the weights of a network, after the prefixes of wrappers are removed.

best_fit(parts, shapes) -> Fit      shapes: of the network's own state dict, by name
Fit.problem(...) -> sentence or None
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import torch

from densitylab.worker.importing.parts import Part

Shape = tuple[int, ...]
LISTED = 3  # names in a sentence; `misfits.py` lists them all
# Counters that wrappers and profilers add, and that no output depends on
_COUNTERS = ("num_batches_tracked", "n_averaged", "total_ops", "total_params")
_WRAPPERS = ("_orig_mod", "module")  # segments that torch.compile and DataParallel put inside of names


@dataclass(frozen=True)
class WrongShape:
    """A weight whose shape in the file is not that in the network."""

    name: str
    file: Shape
    network: Shape


@dataclass(frozen=True)
class Fit:
    """Fit of a part of a file to a network.

    Args:
        part: of the file.
        removed_prefix: what was removed from the names; empty: nothing.
        tensors: those of the part, by their names in the network.
        shapes: of the network's weights.
    """

    part: Part
    removed_prefix: str
    tensors: Mapping[str, torch.Tensor]
    shapes: Mapping[str, Shape]

    @property
    def loadable(self) -> list[str]:
        """Return the names whose shapes agree too."""
        return [name for name, shape in self.shapes.items() if self._shape(name) == shape]

    @property
    def matching(self) -> list[str]:
        """Return those that an output depends on."""
        return [name for name in self.loadable if not is_counter(name)]

    @property
    def needed(self) -> list[str]:
        """Return the network's weights that an output depends on."""
        return [name for name in self.shapes if not is_counter(name)]

    @property
    def missing(self) -> list[str]:
        """Return the network's weights that the file lacks."""
        return [name for name in self.shapes if name not in self.tensors and not is_counter(name)]

    @property
    def unexpected(self) -> list[str]:
        """Return the file's weights that the network lacks."""
        return [
            name
            for name, tensor in self.tensors.items()
            if name not in self.shapes and not is_counter(name) and not _is_normalization(name, tensor)
        ]

    @property
    def wrong_shapes(self) -> list[WrongShape]:
        """Return the weights of another shape."""
        return [
            WrongShape(name, tuple(self.tensors[name].shape), shape)
            for name, shape in self.shapes.items()
            if name in self.tensors and self._shape(name) != shape
        ]

    @property
    def complete(self) -> bool:
        """Return whether every weight fits."""
        return not (self.missing or self.unexpected or self.wrong_shapes)

    @property
    def score(self) -> float:
        """Return the share of all names, of the file and the network, that agree: 1 is a complete fit."""
        agreeing = len(self.matching)
        return agreeing / max(1, agreeing + len(self.missing) + len(self.unexpected) + len(self.wrong_shapes))

    def _shape(self, name: str) -> Shape | None:
        tensor = self.tensors.get(name)
        return None if tensor is None else tuple(tensor.shape)


def best_fit(parts: Iterable[Part], shapes: Mapping[str, Shape]) -> Fit:
    """Return how the part fits that fits best; of equal ones the first."""
    return max((_fit(part, shapes) for part in parts), key=lambda fit: fit.score)


def _fit(part: Part, shapes: Mapping[str, Shape]) -> Fit:
    candidates = [_without(part, shapes, segments) for segments in ((), _WRAPPERS[:1], _WRAPPERS[1:], _WRAPPERS)]
    return max(candidates, key=lambda fit: (fit.score, -len(fit.removed_prefix)))


def _without(part: Part, shapes: Mapping[str, Shape], segments: tuple[str, ...]) -> Fit:
    """Return the fit after the removal of these segments inside of names, and of the prefix that most names have."""
    names = {name: ".".join(item for item in name.split(".") if item not in segments) for name in part.tensors}
    votes: Counter[str] = Counter()
    most = max((name.count(".") + 1 for name in shapes), default=0)  # segments of a suffix that can be a name
    for name, short in names.items():
        parts = short.split(".")
        for start in range(max(0, len(parts) - most), len(parts)):
            suffix = ".".join(parts[start:])
            if suffix in shapes:
                agrees = tuple(part.tensors[name].shape) == shapes[suffix]
                votes[".".join([*parts[:start], ""]) if start else ""] += 2 if agrees else 1
    prefix = min(votes, key=lambda prefix: (-votes[prefix], len(prefix))) if votes else ""
    renamed = {short.removeprefix(prefix): part.tensors[name] for name, short in names.items()}
    used = [f"{segment}." for segment in segments if any(segment in name.split(".") for name in names)]
    return Fit(part, " ".join(filter(None, [prefix, *used])), renamed, shapes)


def problem(fit: Fit, label: str, *, channels: int, outputs: int) -> str | None:
    """Return why the weights do not fit, in sentences; None if they do.

    Args:
        fit: of a file to a network.
        label: of the network.
        channels: of the data set's images.
        outputs: that the network was built with.
    """
    if fit.complete:
        return None
    reasons = []
    file_outputs, file_channels = _conventions(fit, channels, outputs)
    if file_outputs is not None:
        reasons.append(
            f"The file's network has {file_outputs} outputs, not {outputs}: give outputs {file_outputs}, and "
            "class_order or class_names to say which of them are the data set's classes."
        )
    if file_channels is not None:
        reasons.append(
            f"The file's network takes images of {_count(file_channels, 'channel')}, and the data set has "
            f"{_count(channels, 'channel')}: choose a data set of such images."
        )
    if 2 * len(fit.matching) < len(fit.needed):
        reasons.append(
            f"Of {label}'s {len(fit.needed):,} weights the file has {len(fit.matching):,}: it is of another network. "
            "Where the catalog lacks that network, its code comes from a plug-in (docs/plugins.md)."
        )
    reasons += filter(
        None,
        [
            _listed(fit.missing, f"missing in the file, which {label} has", fit.unexpected),
            _listed(fit.unexpected, f"in the file, which {label} does not have", fit.missing),
            _shapes_listed(fit.wrong_shapes),
        ],
    )
    return " ".join(reasons)


def _listed(names: list[str], what: str, others: list[str]) -> str:
    if not names:
        return ""
    shown = []
    for name in names[:LISTED]:
        near = get_close_matches(name, others[:2000], n=1)
        shown.append(f"{name[:100]} (nearest: {near[0][:100]})" if near and near[0] != name else name[:100])
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{_count(len(names), 'weight')} {what}: {', '.join(shown)}{more}."


def _shapes_listed(items: list[WrongShape]) -> str:
    if not items:
        return ""
    shown = [f"{item.name[:100]} ({_by(item.file)}, expected {_by(item.network)})" for item in items[:LISTED]]
    more = f" and {len(items) - LISTED} more" if len(items) > LISTED else ""
    return f"{_count(len(items), 'weight')} of another shape: {', '.join(shown)}{more}."


def _conventions(fit: Fit, channels: int, outputs: int) -> tuple[int | None, int | None]:
    """Return the outputs and the channels of the file's network, where the shapes differ in nothing else."""
    items = fit.wrong_shapes
    last = [item for item in items if item.network[:1] == (outputs,) and item.file[1:] == item.network[1:]]
    first = [
        item
        for item in items
        if len(item.file) == len(item.network) == 4
        and item.network[1] == channels
        and (item.file[0], *item.file[2:]) == (item.network[0], *item.network[2:])
    ]
    if len(last) + len(first) < len(items):
        return None, None
    return last[-1].file[0] if last else None, first[0].file[1] if first else None


def is_counter(name: str) -> bool:
    """Return whether a tensor of that name only counts, so that no output depends on it."""
    return name.rpartition(".")[2] in _COUNTERS


def _is_normalization(name: str, tensor: torch.Tensor) -> bool:
    """Return whether a tensor is that of a layer that normalises images, which the run has anyway."""
    shape = tuple(tensor.shape)
    return name.rpartition(".")[2] in ("mean", "std", "mu", "sigma") and len(shape) in (3, 4) and shape[-2:] == (1, 1)


def _by(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "a number"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
