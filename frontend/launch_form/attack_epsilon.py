"""The L∞ radius of attacks: that of the first evaluated attack is the one choice, which all others follow until they
are given another."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from densitylab.backend.shared.contracts import CatalogEntry
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.launch_form.sweeps import Method, Plan

_TRAINING = ("regularizer", "schedule", "algorithm")  # the kinds that may attack while they train
_GREY, _COLOUR = 0.1, 8 / 255  # usual for digits and for photographs


def usual_epsilon(dataset: CatalogEntry | None) -> float:
    """Return the radius that is usual for a data set, on the [0, 1] pixel scale."""
    return _COLOUR if dataset is not None and dataset.channels == 3 else _GREY


def attack_defaults(evaluation: CatalogEntry, epsilon: float) -> dict[str, Any]:
    """Return the list of L∞ radii of an evaluation, with this one in place of the catalog's; nothing for others."""
    return {param.name: [epsilon] for param in evaluation.params if param.name == "epsilons" and param.maximum == 1}


def training_defaults(component: CatalogEntry, epsilon: float) -> dict[str, Any]:
    """Return the L∞ radius of a component that attacks in training, with this one in place of the catalog's. Nothing
    for others: the radius is at most 1, or has a norm beside it that is L∞ by default."""
    by_norm = any(param.name == "p_norm" and param.default == "inf" for param in component.params)
    return {
        param.name: epsilon for param in component.params if param.name == "epsilon" and (by_norm or param.maximum == 1)
    }


def training_radii(catalog: Catalog, kind: str, epsilon: float) -> dict[str, dict[str, Any]]:
    """Return the `training_defaults` of the entries of a kind by their key."""
    return {entry.key: training_defaults(entry, epsilon) for entry in catalog.entries(kind)}


def chosen_epsilon(evaluations: Sequence[Mapping[str, Any]], catalog: Catalog, otherwise: float) -> float:
    """Return the first L∞ radius of the chosen evaluations, else the other."""
    for item in evaluations:
        entry = catalog.entry("evaluation", item["key"])
        for name in attack_defaults(entry, otherwise) if entry is not None else ():
            if radii := item["params"].get(name):
                return float(radii[0])
    return otherwise


def following(plan: Plan, catalog: Catalog) -> Plan:
    """Return the plan without the radii that equal that of its first evaluated attack: in the form they follow it. The
    first is that which the form draws first, in the order of the catalog; its own variants keep their radii."""
    spec, methods = copy.deepcopy(plan.spec), copy.deepcopy(plan.methods)
    places = {entry.key: place for place, entry in enumerate(catalog.entries("evaluation"))}
    leader, radius = "", None
    for item in sorted(spec["evaluations"], key=lambda item: places.get(item["key"], len(places))):
        entry = catalog.entry("evaluation", item["key"])
        for name in attack_defaults(entry, 0.0) if entry is not None else ():
            radii = item["params"].get(name)
            if radius is None and isinstance(radii, list) and radii:
                leader, radius = item["key"], radii[0]
            elif item["key"] != leader and radii == [radius]:
                del item["params"][name]
    for kind, component, _ in attacking(spec, methods):
        entry, params = catalog.entry(kind, component["key"]), component["params"]
        for name in training_defaults(entry, 0.0) if entry is not None and radius is not None else ():
            if params.get(name) == radius and in_linf(params):
                del params[name]
    return replace(plan, spec=spec, methods=methods)


def attacking(spec: Mapping[str, Any], methods: Sequence[Method]) -> list[tuple[str, dict[str, Any], str]]:
    """Return the components that may attack in training: their kind, {key, params}, and JSON pointer in the request."""
    return [
        *((kind, spec[kind], f"/spec/{kind}") for kind in _TRAINING),
        *(
            ("regularizer", method.component, f"/sweep/{number}/regularizer/0")
            for number, method in enumerate(methods, start=1)
        ),
    ]


def in_linf(params: Mapping[str, Any]) -> bool:
    """Return whether the radius of a component with these parameters is one in L∞."""
    return str(params.get("p_norm", "inf")) == "inf"
