"""The launch form's sweep over one parameter besides λ and the seed."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import CatalogParam
from densitylab.frontend.analysis.formatting import readable, title
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.launch_form.context import FormContext
from densitylab.frontend.launch_form.sweeps import Grid
from densitylab.frontend.ui.widgets import number_list

KINDS = {
    "dataset": "Data set",
    "model": "Model",
    "regularizer": "Regularizer",
    "schedule": "λ schedule",
    "optimizer": "Optimizer",
    "algorithm": "Algorithm",
}


def draw_extra_axis(form: FormContext, chosen: dict[str, Any], grid: Grid) -> dict[str, list[Any] | None]:
    """Draw the choice of the parameter and its values; return them by dotted path, None for values that cannot be
    read, and nothing where no parameter is chosen.

    Args:
        form: the form.
        chosen: the components that the form shows now, by kind.
        grid: the sweep that the form starts with.
    """
    options = sweepable(form.catalog, chosen)
    given = next((path for path in grid if path in options), None)
    path = st.selectbox(
        "Sweep another parameter",
        [None, *options],
        index=[None, *options].index(given),
        key=f"{form.key}/axis",
        persist_state="page",
        format_func=lambda item: "none" if item is None else f"{KINDS[item.partition('.')[0]]}: {title(options[item])}",
        help="Each value is combined with each λ and each seed.",
    )
    if path is None:
        return {}
    values = _draw_values(form, options[path], grid.get(path, []), path)
    form.errors.show(f"/sweep/{path}", f"/sweep/0/{path}")
    return {path: values}


def sweepable(catalog: Catalog, chosen: Mapping[str, Any]) -> dict[str, CatalogParam]:
    """Return the parameters of the chosen components by dotted path."""
    options = {}
    for kind in KINDS:
        entry = catalog.entry(kind, chosen[kind]["key"])
        for param in entry.params if entry else ():
            if param.type != "component":
                options[f"{kind}.params.{param.name}"] = param
    return options


def _draw_values(form: FormContext, param: CatalogParam, values: list[Any], path: str) -> list[Any] | None:
    key, at = f"{form.key}/axis/{path}", f"/sweep/{path}"
    if param.choices or param.type == "bool":
        choices = list(param.choices) or [False, True]
        picked = st.multiselect(
            "Values",
            [*choices, *(value for value in values if value not in choices)],
            values or choices,
            accept_new_options=param.numbers_from is not None,
            key=key,
            persist_state="page",
            format_func=lambda item: readable(str(item)),
            select_all=False,
        )
        if not picked:
            form.errors.refuse(at, "choose at least one value")
        return picked or None
    start = values or ([param.default] if param.default is not None else [0])
    kind = int if param.type == "int" else float
    return number_list("Values", start, key=key, help=param.help, kind=kind, at=at, errors=form.errors)
