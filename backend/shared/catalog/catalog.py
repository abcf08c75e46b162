"""The catalog: every choice on offer, as a value that is made once and passed on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from densitylab.backend.shared.catalog.algorithms import ALGORITHMS
from densitylab.backend.shared.catalog.attacks import ATTACKS
from densitylab.backend.shared.catalog.attributions import ATTRIBUTIONS
from densitylab.backend.shared.catalog.augmentations import AUGMENTATIONS
from densitylab.backend.shared.catalog.datasets import DATASETS
from densitylab.backend.shared.catalog.entries import KINDS, DatasetEntry, Entry
from densitylab.backend.shared.catalog.evaluations import EVALUATIONS
from densitylab.backend.shared.catalog.lr_schedules import LR_SCHEDULES
from densitylab.backend.shared.catalog.models import MODELS
from densitylab.backend.shared.catalog.optimizers import OPTIMIZERS
from densitylab.backend.shared.catalog.perturbations import PERTURBATIONS
from densitylab.backend.shared.catalog.plugins import PluginProblem, installed_entries
from densitylab.backend.shared.catalog.regularizers import REGULARIZERS
from densitylab.backend.shared.catalog.schedules import SCHEDULES
from densitylab.backend.shared.catalog.studies import STUDIES
from densitylab.backend.shared.suggestion import did_you_mean

E = TypeVar("E", bound=Entry)

BUILT_IN: tuple[Entry, ...] = (
    *DATASETS,
    *MODELS,
    *REGULARIZERS,
    *SCHEDULES,
    *OPTIMIZERS,
    *LR_SCHEDULES,
    *AUGMENTATIONS,
    *ALGORITHMS,
    *ATTACKS,
    *ATTRIBUTIONS,
    *PERTURBATIONS,
    *EVALUATIONS,
    *STUDIES,
)


class UnknownKey(LookupError):
    """There is no entry with this key; the message lists those that there are."""

    def __init__(self, kind: str, key: str, offered: Iterable[str]) -> None:
        keys = list(offered)
        hint = did_you_mean(key, keys) or "; one of your own comes from a plug-in (docs/plugins.md)"
        super().__init__(f"unknown {kind} {key!r}; on offer: {', '.join(keys)}{hint}")


@dataclass(frozen=True)
class Catalog:
    """Built-in entries, those of installed plug-ins, and the data sets that users have registered.

    Args:
        by_kind: kind to key to entry, in the order in which the page offers them.
        problems: plug-ins, or entries of theirs, that were left out, each with the reason.
    """

    by_kind: Mapping[str, Mapping[str, Entry]]
    problems: tuple[PluginProblem, ...] = field(default=())

    @classmethod
    def of(cls, entries: Iterable[Entry], problems: Iterable[PluginProblem] = ()) -> Catalog:
        """Return a catalog of these entries. Raises ValueError where two of a kind have one key."""
        by_kind: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}
        for entry in entries:
            if by_kind[entry.kind].setdefault(entry.key, entry) is not entry:
                raise ValueError(f"two entries of kind {entry.kind} have the key {entry.key!r}")
        return cls(by_kind, tuple(problems))

    @classmethod
    def built_in(cls) -> Catalog:
        """Return the catalog without plug-ins and registered data sets."""
        return cls.of(BUILT_IN)

    @classmethod
    def installed(cls) -> Catalog:
        """Return the built-in entries and those of installed plug-ins. Reads the metadata of all installed packages."""
        entries, problems = installed_entries(BUILT_IN)
        return cls.of([*BUILT_IN, *entries], problems)

    def with_entries(self, entries: Iterable[Entry]) -> Catalog:
        """Return a catalog that has these entries too, such as registered data sets.

        A built-in key stays; an entry of a plug-in with the same key gives way, with a problem that says so.
        """
        added = tuple(entries)
        if not added:
            return self
        by_kind = {kind: dict(offered) for kind, offered in self.by_kind.items()}
        problems = list(self.problems)
        for entry in added:
            taken = by_kind[entry.kind].setdefault(entry.key, entry)
            if taken is not entry and taken.plugin is not None:
                by_kind[entry.kind][entry.key] = entry
                reason = "a registered data set has this key; remove it, or rename the plug-in's"
                problems.append(PluginProblem(taken.plugin, f"{entry.kind} {entry.key!r}", reason))
        return Catalog(by_kind, tuple(problems))

    @overload
    def all(self, kind: type[E]) -> tuple[E, ...]: ...
    @overload
    def all(self, kind: str) -> tuple[Entry, ...]: ...
    def all(self, kind: type[Entry] | str) -> tuple[Entry, ...]:
        """Return all entries of a kind, given by its class or its name."""
        return tuple(self.by_kind[_name(kind)].values())

    @overload
    def find(self, kind: type[E], key: str) -> E: ...
    @overload
    def find(self, kind: str, key: str) -> Entry: ...
    def find(self, kind: type[Entry] | str, key: str) -> Entry:
        """Return the entry `key` of a kind, given by its class or its name. Raises UnknownKey."""
        offered = self.by_kind.get(_name(kind), {})
        if key not in offered:
            raise UnknownKey(_name(kind), key, offered)
        return offered[key]

    def dataset(self, key: str, params: Mapping[str, Any]) -> DatasetEntry:
        """Return the data set's entry with the image size that these parameters give it. Raises UnknownKey."""
        return self.find(DatasetEntry, key).sized(params)


def _name(kind: type[Entry] | str) -> str:
    return kind if isinstance(kind, str) else kind.kind
