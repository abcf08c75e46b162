"""The range of a parameter in the launch form's search with Optuna."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import CatalogParam, Choices, IntegerRange, NumberRange, SearchParameter
from densitylab.frontend.analysis.formatting import readable, title
from densitylab.frontend.launch_form.context import FormContext
from densitylab.frontend.launch_form.extra_axis import KINDS, sweepable
from densitylab.frontend.ui.number_field import number_field


@dataclass(frozen=True)
class Searchable:
    """A parameter that a search can vary."""

    path: str
    label: str
    low: float = 0.0
    high: float = 0.0
    integer: bool = False
    choices: tuple[Any, ...] = ()  # of a number none
    log: bool = False


def searchable(form: FormContext, spec: Mapping[str, Any]) -> dict[str, Searchable]:
    """Return the parameters by path: λ, batch size, epochs, and those of the chosen components but the data set, which
    is the same for all trials."""
    batch, epochs = spec["batch_size"], spec["epochs"]
    found = [
        Searchable("lambda_", "λ", 0.001, 10.0, log=True),
        Searchable("batch_size", "Batch size", max(1, batch // 4), 4 * batch, integer=True, log=True),
        Searchable("epochs", "Epochs", max(1, epochs // 2), 2 * epochs, integer=True),
    ]
    for path, param in sweepable(form.catalog, spec).items():
        kind = path.partition(".")[0]
        if kind != "dataset" and (item := _of_entry(path, param, spec[kind]["params"])) is not None:
            found.append(item)
    return {item.path: item for item in found}


def _of_entry(path: str, param: CatalogParam, params: Mapping[str, Any]) -> Searchable | None:
    """Return a parameter of a component; None where it has no values to choose from."""
    label = f"{KINDS[path.partition('.')[0]]}: {title(param)}"
    choices = (False, True) if param.type == "bool" else tuple(param.choices)
    if choices:
        return Searchable(path, label, choices=choices) if len(choices) > 1 else None
    now = params.get(param.name, param.default)
    if param.type not in ("int", "float") or not isinstance(now, int | float):
        return None
    low, high = (now / 10, now * 10) if now > 0 else (0.0, 1.0)
    low = low if param.minimum is None else max(low, param.minimum)
    high = high if param.maximum is None else min(high, param.maximum)
    integer = param.type == "int"
    low, high = (max(1, round(low)), round(high)) if integer and now > 0 else (low, high)
    return Searchable(path, label, low, high, integer=integer, log=low > 0 and high >= 10 * low)


def draw_range(
    form: FormContext, index: int, item: Searchable, given: SearchParameter | None
) -> SearchParameter | None:
    """Draw the range in a row; return it, None while it has no values.

    Args:
        index: of the parameter in the request, for its errors.
        given: what the row starts with.
    """
    key = f"{form.key}/search/parameters/{item.path}"
    row: SearchParameter | None
    at = f"/search/parameters/{index}"
    if item.choices:
        row = _draw_choices(form, at, item, given.choices if isinstance(given, Choices) else list(item.choices), key)
    else:
        row = _draw_bounds(form, at, item, None if isinstance(given, Choices) else given, key)
    form.errors.show(at)
    return row


def _draw_choices(form: FormContext, at: str, item: Searchable, chosen: list[Any], key: str) -> Choices | None:
    picked = st.multiselect(
        item.label,
        list(item.choices),
        [choice for choice in chosen if choice in item.choices],
        format_func=lambda choice: readable(str(choice)),
        key=f"{key}/choices",
        persist_state="page",
        select_all=False,
    )
    if len(picked) < 2:
        form.errors.refuse(at, "choose at least two values")
        return None
    return Choices(type="choice", path=item.path, choices=picked)


def _draw_bounds(
    form: FormContext, at: str, item: Searchable, given: NumberRange | IntegerRange | None, key: str
) -> SearchParameter | None:
    cells = st.columns([2, 2, 1], vertical_alignment="bottom")
    starts = (given.low, given.high) if given else (item.low, item.high)
    with cells[0]:
        low = number_field(f"{item.label}, from", starts[0], key=f"{key}/low", whole=item.integer)
    with cells[1]:
        high = number_field(f"{item.label}, to", starts[1], key=f"{key}/high", whole=item.integer)
    log = cells[2].toggle("Logarithmic", given.log if given else item.log, key=f"{key}/log", persist_state="page")
    step = None if given is None or log else given.step
    with form.errors.of_contract(at):
        if item.integer:
            return IntegerRange(type="integer", path=item.path, low=low, high=high, log=log, step=int(step or 1))
        return NumberRange(type="number", path=item.path, low=low, high=high, log=log, step=step)
    return None
