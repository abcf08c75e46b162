"""Plug-ins: entries that other installed packages offer through the entry-point group `densitylab.catalog`.

A plug-in's `pyproject.toml` names a function that returns its entries:

    [project.entry-points."densitylab.catalog"]
    my_package = "my_package.catalog:entries"

The module of that function holds metadata and must not import torch: the API imports it too. A plug-in that fails, or
an entry that is not valid, is left out with the reason; everything else works.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import metadata

from densitylab.backend.shared.catalog.entries import KINDS, Entry, Plugin
from densitylab.backend.shared.catalog.validation import invalid_facts

GROUP = "densitylab.catalog"
_KEY = re.compile(r"[a-z0-9][a-z0-9_]{0,63}")
_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class PluginProblem:
    """A plug-in, or an entry of one, that is not in the catalog.

    Args:
        plugin: package and version.
        entry: "kind key" of the entry; empty where the whole plug-in is left out.
        reason: one sentence.
    """

    plugin: Plugin
    entry: str
    reason: str


def installed_entries(built_in: Iterable[Entry]) -> tuple[list[Entry], list[PluginProblem]]:
    """Return the entries of all installed plug-ins, in the order of their packages' names, and what was left out."""
    taken = {(entry.kind, entry.key): "DensityLab" for entry in built_in}
    entries: list[Entry] = []
    problems: list[PluginProblem] = []
    # A package that is on the path twice is read once
    points = {(_package(point), point.name, point.value): point for point in metadata.entry_points(group=GROUP)}
    for point in sorted(points.values(), key=lambda point: (_package(point), point.name)):
        plugin = Plugin(_package(point), (point.dist.version if point.dist else None) or "")
        try:
            offered = list(point.load()())
        except (Exception, SystemExit) as error:  # a plug-in may fail in any way, and must not stop the others
            problems.append(PluginProblem(plugin, "", f"{point.value} failed: {type(error).__name__}: {error}"))
            continue
        for entry in offered:
            reason = _invalid(entry, taken)
            if reason is None:
                taken[entry.kind, entry.key] = plugin.package
                entries.append(replace(entry, plugin=plugin))
            else:
                problems.append(PluginProblem(plugin, _describe(entry), reason))
    return entries, problems


def _package(point: metadata.EntryPoint) -> str:
    return (point.dist.name if point.dist else None) or point.name


def _describe(entry: object) -> str:
    return (
        f"{entry.kind} {entry.key!r}"
        if isinstance(entry, Entry) and type(entry) in KINDS.values()
        else type(entry).__name__
    )


def _invalid(entry: object, taken: dict[tuple[str, str], str]) -> str | None:
    if not isinstance(entry, Entry) or type(entry) not in KINDS.values():
        expected = ", ".join(kind.__name__ for kind in KINDS.values())
        return f"expected one of {expected}; got {type(entry).__name__}"
    if not isinstance(entry.key, str) or not _KEY.fullmatch(entry.key):
        return f"expected a key of small letters, digits and underscores; got {entry.key!r}"
    if entry.has_callable and (not isinstance(entry.path, str) or not _PATH.fullmatch(entry.path)):
        return f"expected a path 'package.module:callable'; got {entry.path!r}"
    owner = taken.get((entry.kind, entry.key))
    if owner is not None:
        return f"{owner} has the {entry.kind} {entry.key!r} already; choose another key"
    try:
        return invalid_facts(entry)
    except Exception as error:  # facts of a plug-in may be of any type
        return f"its facts cannot be read: {type(error).__name__}: {error}"
