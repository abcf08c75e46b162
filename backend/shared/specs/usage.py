"""Entries of a spec that a worker may lack: those of plug-ins, and those that need an optional package."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import RunSpec
from densitylab.backend.shared.specs.complete import COMPONENTS


@dataclass(frozen=True)
class OptionalEntry:
    """An entry of a plug-in, or one that needs a package that is not installed by default."""

    kind: str
    key: str
    pointer: str  # JSON pointer to its key in the request


def optional_entries(catalog: Catalog, spec: RunSpec, *, first: int = 0) -> Iterator[OptionalEntry]:
    """Yield the optional entries that a spec names, those in the parameters of its evaluations too.

    Args:
        catalog: that has the entries; an entry that it lacks is passed over.
        spec: complete.
        first: index in the request of the spec's first evaluation; -1 where the request left the accuracy out.
    """
    for kind in COMPONENTS:
        part = getattr(spec, kind)
        if part is not None:
            yield from _walk(catalog, kind, part.key, part.params, f"/spec/{kind}")
    for index, item in enumerate(spec.evaluations, first):
        yield from _walk(catalog, "evaluation", item.key, item.params, f"/spec/evaluations/{index}")


def optional_component(
    catalog: Catalog, kind: str, key: str, params: dict[str, Any], at: str, *, name: str = "key"
) -> Iterator[OptionalEntry]:
    """Yield the component itself, if it is optional, and those in its parameters; `name` is the field of its key."""
    for item in _walk(catalog, kind, key, params, at):
        yield replace(item, pointer=f"{at}/{name}") if item.pointer == f"{at}/key" else item


def _walk(catalog: Catalog, kind: str, key: str, params: dict[str, Any], at: str) -> Iterator[OptionalEntry]:
    entry = catalog.by_kind[kind].get(key)
    if entry is None:
        return
    if entry.plugin is not None or entry.package is not None:
        yield OptionalEntry(kind, key, f"{at}/key")
    for param in entry.params:
        value = params.get(param.name) if param.type == "component" else None
        if value is not None and param.kind:
            yield from _walk(catalog, param.kind, value["key"], value.get("params", {}), f"{at}/params/{param.name}")


def plugins(catalog: Catalog, entries: Iterable[OptionalEntry]) -> dict[str, dict[str, Any]]:
    """Return the plug-ins that entries come from, for a run's provenance.

    Returns:
        By package: its `version`, and the `entries` in use, each as "kind key".
    """
    used: dict[str, dict[str, Any]] = {}
    for item in entries:
        plugin = catalog.find(item.kind, item.key).plugin
        if plugin is not None:
            of_package = used.setdefault(plugin.package, {"version": plugin.version, "entries": []})
            if f"{item.kind} {item.key}" not in of_package["entries"]:
                of_package["entries"].append(f"{item.kind} {item.key}")
    return used
