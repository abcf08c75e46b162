"""Names of the groups of an evaluation."""

import re
from collections.abc import Mapping
from typing import Any

from densitylab.backend.shared.contracts import Curve
from densitylab.frontend.client.catalog import Catalog

_GROUP = re.compile(r"group[ _](\d+)(?=$|, )")


def group_names(catalog: Catalog, dataset: str, params: Mapping[str, Any]) -> list[str]:
    """Return the names of an evaluation's groups in order: the data set's, or the label crossed with the attributes
    that its parameters name. Empty where they are not known."""
    entry = catalog.entry("dataset", dataset)
    if entry is None:
        return []
    asked = params.get("attributes")
    if not asked:
        return list(entry.group_names)
    values = {attribute.name: attribute.values for attribute in entry.attributes}
    names = list(entry.class_names)
    for attribute in asked:
        names = [f"{name}, {value}" for name in names for value in values.get(attribute, ())]
    return names


def names_of_x(curve: Curve, catalog: Catalog, dataset: str, params: Mapping[str, Any]) -> list[str]:
    """Return the names of the groups over which a curve goes; empty where it goes over something else."""
    return group_names(catalog, dataset, params) if curve.x_label == "group" else []


def with_group_name(label: str, names: list[str]) -> str:
    """Return a result's label with the name of the group that it numbers, if it has one."""
    match = _GROUP.search(label)
    if match is None or int(match[1]) >= len(names):
        return label
    return f"{label[: match.start()]}{names[int(match[1])]}{label[match.end() :]}"
