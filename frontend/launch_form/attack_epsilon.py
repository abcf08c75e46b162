"""The L∞ radius of attacks: that of the first evaluated attack is the one choice, which all others follow until they
are given another."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from densitylab.backend.shared.contracts import CatalogEntry
from densitylab.frontend.client.catalog import Catalog

_GREY, _COLOUR = 0.1, 8 / 255  # usual for digits and for photographs


def usual_epsilon(dataset: CatalogEntry | None) -> float:
    """Return the radius that is usual for a data set, on the [0, 1] pixel scale."""
    return _COLOUR if dataset is not None and dataset.channels == 3 else _GREY


def attack_defaults(evaluation: CatalogEntry, epsilon: float) -> dict[str, Any]:
    """Return the list of L∞ radii of an evaluation, with this one in place of the catalog's; nothing for others."""
    return {param.name: [epsilon] for param in evaluation.params if param.name == "epsilons" and param.maximum == 1}


def training_defaults(component: CatalogEntry, epsilon: float) -> dict[str, Any]:
    """Return the L∞ radius of a regularizer or λ schedule that attacks, with this one in place of the catalog's.
    Nothing for others: the radius is at most 1, or has a norm beside it that is L∞ by default."""
    by_norm = any(param.name == "p_norm" and param.default == "inf" for param in component.params)
    return {
        param.name: epsilon for param in component.params if param.name == "epsilon" and (by_norm or param.maximum == 1)
    }


def chosen_epsilon(evaluations: Sequence[Mapping[str, Any]], catalog: Catalog, otherwise: float) -> float:
    """Return the first L∞ radius of the chosen evaluations, else the other."""
    for item in evaluations:
        entry = catalog.entry("evaluation", item["key"])
        for name in attack_defaults(entry, otherwise) if entry is not None else ():
            if radii := item["params"].get(name):
                return float(radii[0])
    return otherwise


def following(spec: Mapping[str, Any], catalog: Catalog) -> dict[str, Any]:
    """Return the spec without the radii that equal that of its first evaluated attack: in the form they follow it. The
    first is that which the form draws first, in the order of the catalog; its own variants keep their radii."""
    form_spec = copy.deepcopy(dict(spec))
    places = {entry.key: place for place, entry in enumerate(catalog.entries("evaluation"))}
    leader, radius = "", None
    for item in sorted(form_spec["evaluations"], key=lambda item: places.get(item["key"], len(places))):
        entry = catalog.entry("evaluation", item["key"])
        for name in attack_defaults(entry, 0.0) if entry is not None else ():
            radii = item["params"].get(name)
            if radius is None and isinstance(radii, list) and radii:
                leader, radius = item["key"], radii[0]
            elif item["key"] != leader and radii == [radius]:
                del item["params"][name]
    for kind in ("regularizer", "schedule"):
        entry = catalog.entry(kind, form_spec[kind]["key"])
        for name in training_defaults(entry, 0.0) if entry is not None and radius is not None else ():
            if form_spec[kind]["params"].get(name) == radius:
                del form_spec[kind]["params"][name]
    return form_spec
