"""From catalog parameters to Streamlit controls, and from what was typed to values."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from backend.shared.contracts import CatalogEntry, CatalogParam, FieldError
from frontend.catalog import Catalog
from frontend.words import escaped, readable, title


@dataclass
class FieldErrors:
    """What the API found wrong; each is shown once, beside the field that it names."""

    errors: Sequence[FieldError] = ()
    shown: set[str] = field(default_factory=set)

    def show(self, *pointers: str) -> None:
        """Writes the errors at or below these JSON pointers here."""
        for error in self.errors:
            here = any(error.pointer == pointer or error.pointer.startswith(pointer + "/") for pointer in pointers)
            if here and error.pointer not in self.shown:
                self.shown.add(error.pointer)
                problem(error.detail)

    @property
    def left(self) -> list[FieldError]:
        """Those that no field has shown."""
        return [error for error in self.errors if error.pointer not in self.shown]


def problem(text: str) -> None:
    """A complaint about the field above."""
    st.markdown(f":red[:material/error: {escaped(text)}]")


def parse_numbers(text: str, kind: Callable[[str], float] = float) -> list[float]:
    """Numbers separated by commas or spaces, in order, each once.

    Raises:
        ValueError: the text holds none, or something that is not a finite number; the message names it.
    """
    numbers: list[float] = []
    for part in text.replace(",", " ").replace(";", " ").split():
        try:
            number = kind(part)
        except ValueError:
            wanted = "a whole number" if kind is int else "a number"
            raise ValueError(f"{part!r} is not {wanted}; write numbers separated by commas") from None
        if not math.isfinite(number):
            raise ValueError(f"{part!r} is not a finite number")
        if number not in numbers:
            numbers.append(number)
    if not numbers:
        raise ValueError("write at least one number")
    return numbers


def numbers_text(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def number_list(
    label: str, values: Sequence[float], *, key: str, help: str = "", kind: Callable[[str], float] = float
) -> list[float] | None:
    """A list of numbers as text; None, and the reason written below, where it cannot be read."""
    text = st.text_input(label, numbers_text(values), key=key, help=help or None)
    try:
        return parse_numbers(text, kind)
    except ValueError as error:
        problem(str(error))
        return None


def control(param: CatalogParam, value: Any, *, key: str, at: str, catalog: Catalog, errors: FieldErrors) -> Any:
    """Draws the control of one parameter and gives its value.

    Args:
        param: what to draw.
        value: what it starts with.
        key: Streamlit's key of the widget.
        at: JSON pointer of the parameter, for the errors that name it.
        catalog: the choices of a parameter that takes a component.
        errors: what the API found wrong.
    """
    value = _offered(param, value)
    if param.type == "component":
        if param.optional and not st.checkbox(f"{title(param)}: choose one", value is not None, key=f"{key}/given",
                                              help=param.help or None):
            chosen = None
        else:
            chosen = component(catalog, param.kind or "", value or {}, label=title(param), key=key, at=at,
                               errors=errors)
    elif param.choices:
        chosen = _choice(param, value, key)
    elif param.type == "bool":
        chosen = st.checkbox(title(param), bool(value), key=key, help=param.help or None)
    elif param.type in ("int", "float", "run"):
        chosen = _number(param, value, key)
    elif param.type == "floats":
        chosen = number_list(title(param), value or [], key=key, help=param.help)
    else:
        text = st.text_input(title(param), value or "", key=key, help=param.help or None)
        chosen = None if param.optional and not text else text
    errors.show(at)
    return chosen


def _offered(param: CatalogParam, value: Any) -> Any:
    """The value, or the default where a link or an old spec holds what no control could; that is said."""
    if value is None and (param.optional or param.default is None):
        return None
    kinds = {"int": int, "float": int | float, "bool": bool, "str": str, "floats": list, "component": dict, "run": int}
    fits = isinstance(value, kinds[param.type]) and (not param.choices or value in param.choices)
    if param.type in ("int", "float", "run") and fits:
        low = -math.inf if param.minimum is None else param.minimum
        high = math.inf if param.maximum is None else param.maximum
        fits = not isinstance(value, bool) and low <= value <= high
    if param.type == "floats" and fits:
        fits = all(isinstance(item, int | float) and not isinstance(item, bool) for item in value)
    if param.type == "component" and fits:
        fits = isinstance(value.get("key"), str) and isinstance(value.get("params", {}), dict)
    if not fits:
        problem(f"{title(param)} ({param.name}) cannot be {str(value)[:50]}; its default is shown")
        return param.default
    return value


def _choice(param: CatalogParam, value: Any, key: str) -> Any:
    options = list(param.choices)
    if param.optional:
        options = [None, *options]
    return st.selectbox(
        title(param), options, index=options.index(value) if value in options else 0, key=key,
        help=param.help or None, format_func=lambda option: "—" if option is None else readable(str(option)),
    )


def _number(param: CatalogParam, value: Any, key: str) -> int | float | None:
    whole = param.type in ("int", "run")
    cast = int if whole else float
    # Streamlit's bounds are inclusive: an exclusive one is left to the API, which explains it
    bound = None if param.exclusive_minimum else param.minimum
    return st.number_input(
        title(param),
        min_value=None if bound is None else cast(bound),
        max_value=None if param.maximum is None else cast(param.maximum),
        value=None if value is None else cast(value),
        step=1 if whole else _step(value, param.maximum),
        format=None if whole else "%g",
        key=key, help=param.help or None, placeholder="as by default" if param.optional else None,
    )


def _step(value: Any, maximum: float | None) -> float:
    """A tenth of the value's power of ten, so that the buttons make a difference that shows."""
    reference = abs(value) if value else (maximum or 1.0) / 10
    return 10.0 ** math.floor(math.log10(reference)) if reference else 0.1


def component(
    catalog: Catalog, kind: str, value: Mapping[str, Any], *, label: str, key: str, at: str, errors: FieldErrors,
    usable: Callable[[CatalogEntry], bool] = lambda entry: True,
) -> dict[str, Any]:
    """Chooses an entry of a kind and its parameters; gives {key, params}."""
    entries = [entry for entry in catalog.entries(kind) if usable(entry)]
    keys = [entry.key for entry in entries]
    chosen = st.selectbox(
        label, entries, index=keys.index(value["key"]) if value.get("key") in keys else 0, key=f"{key}/key",
        format_func=lambda entry: entry.label,
    )
    if chosen is None:
        problem(f"the catalog offers no {kind}")
        return dict(value)
    st.caption(escaped(chosen.summary))
    errors.show(f"{at}/key")
    given = value.get("params", {}) if value.get("key") == chosen.key else {}
    params = parameters(catalog, chosen, given, key=f"{key}/{chosen.key}", at=f"{at}/params", errors=errors)
    errors.show(at)
    return {"key": chosen.key, "params": params}


def parameters(
    catalog: Catalog, entry: CatalogEntry, given: Mapping[str, Any], *, key: str, at: str, errors: FieldErrors
) -> dict[str, Any]:
    """Draws every parameter of an entry, three in a row; gives their values."""
    values: dict[str, Any] = {}
    for start in range(0, len(entry.params), 3):
        cells = st.columns(3)
        for cell, param in zip(cells, entry.params[start:start + 3], strict=False):
            with cell:
                values[param.name] = control(
                    param, given.get(param.name, param.default), key=f"{key}/{param.name}",
                    at=f"{at}/{param.name}", catalog=catalog, errors=errors,
                )
    return values
