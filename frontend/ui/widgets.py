"""Streamlit controls for the catalog's parameters."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from densitylab.backend.shared.contracts import CatalogEntry, CatalogParam, exact_float
from densitylab.frontend.analysis.formatting import escaped, readable, title
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.ui.field_errors import FieldErrors, problem
from densitylab.frontend.ui.number_field import number_field

_LONGEST_RANGE = 1000  # numbers


def parse_numbers(text: str, kind: Callable[[str], float] = float) -> list[float]:
    """Return the distinct numbers of a text, separated by commas or spaces, in their order; of whole numbers also
    ranges such as 0-4.

    Raises:
        ValueError: the text has no number, or a part that is not a finite number or rounds to 0, or whose comma may be
            a decimal point; the message names it.
    """
    groups = re.split(r"[;\s]+", text.strip(" ,;"))
    doubtful = next((group for group in groups if kind is float and re.fullmatch(r"-?\d+,\d+,?", group)), None)
    if doubtful is not None and len(groups) > 1:
        first, second = doubtful.strip(",").split(",")
        raise ValueError(
            f"'{first},{second}' may be {first}.{second}, or {first} and {second}; write decimals with a point, and a "
            "space after each comma"
        )
    numbers: list[float] = []
    for part in _parts(text, kind):
        try:
            number = kind(part)
        except ValueError:
            expected = "a whole number" if kind is int else "a number"
            raise ValueError(f"{part!r} is not {expected}; write numbers separated by commas") from None
        if not math.isfinite(number):
            raise ValueError(f"{part!r} is not a finite number")
        exact_float(part)
        if number not in numbers:
            numbers.append(number)
    if not numbers:
        raise ValueError("write at least one number")
    return numbers


def _parts(text: str, kind: Callable[[str], float]) -> Iterator[str]:
    """Yield the numbers of the text as they are written, and those of each range."""
    for part in text.replace(",", " ").replace(";", " ").split():
        ends = re.fullmatch(r"(\d{1,10})[-–](\d{1,10})", part) if kind is int else None
        if ends is None:
            yield part
            continue
        first, last = int(ends[1]), int(ends[2])
        if not first <= last < first + _LONGEST_RANGE:
            raise ValueError(
                f"{part!r} is no range of at most {_LONGEST_RANGE:,} numbers from the smaller to the larger"
            )
        yield from map(str, range(first, last + 1))


def numbers_text(values: Sequence[float]) -> str:
    """Return the numbers, exactly, as `parse_numbers` reads them."""
    return ", ".join(short if float(short := f"{value:g}") == value else repr(value) for value in values)


def number_list(
    label: str,
    values: Sequence[float],
    *,
    key: str,
    help: str = "",
    kind: Callable[[str], float] = float,
    at: str = "",
    errors: FieldErrors | None = None,
) -> list[float] | None:
    """Draw a text field for a list of numbers, and below it how the text is read where that is not as it is written;
    return None, with an error, where it cannot be read.

    Args:
        label: of the field.
        values: the start values.
        key: of the widget.
        help: a tooltip.
        kind: of the numbers.
        at: JSON pointer of the list.
        errors: of the form, which shows the error; None: it stands below the field at once.
    """
    text = st.text_input(label, numbers_text(values), key=key, persist_state="page", help=help or None)
    try:
        numbers = parse_numbers(text, kind)
    except ValueError as error:
        if errors is None:
            problem(str(error))
        else:
            errors.refuse(at, str(error))
        return None
    if text.strip() != (read := numbers_text(numbers)):
        st.caption(f"Read as {read}.")
    return numbers


def control(
    param: CatalogParam,
    value: Any,
    *,
    key: str,
    at: str,
    catalog: Catalog,
    errors: FieldErrors,
    dataset: CatalogEntry | None = None,
) -> Any:
    """Draw the control of a parameter and return its value.

    Args:
        param: the parameter.
        value: the start value.
        key: Streamlit's key of the widget.
        at: JSON pointer of the parameter, for its errors.
        catalog: the entries of component parameters.
        errors: of the API.
        dataset: whose attributes can be chosen; without attributes there is no control for them.
    """
    value = _valid_or_default(param, value)
    chosen: Any
    if param.type == "component":
        if param.optional and not st.checkbox(
            f"Set {title(param).lower()}",
            value is not None,
            key=f"{key}/given",
            persist_state="page",
            help=param.help or None,
        ):
            chosen = None
        else:
            chosen = component(
                catalog, param.kind or "", value or {}, label=title(param), key=key, at=at, errors=errors
            )
    elif param.choices:
        chosen = _choice(param, value, key)
    elif param.type == "bool":
        chosen = st.checkbox(title(param), bool(value), key=key, persist_state="page", help=param.help or None)
    elif param.type in ("int", "float", "run"):
        chosen = _number(param, value, key)
    elif param.type == "attributes":
        names = [] if dataset is None else [attribute.name for attribute in dataset.attributes]
        chosen = _attributes(param, value, names, key) if names else None
    elif param.type == "floats":
        chosen = number_list(title(param), value or [], key=key, help=param.help, at=at, errors=errors)
    else:
        text = st.text_input(title(param), value or "", key=key, persist_state="page", help=param.help or None)
        chosen = None if param.optional and not text else text
    errors.show(at)
    return chosen


def _valid_or_default(param: CatalogParam, value: Any) -> Any:
    """Return the value, or the default with an error below where a link or an old spec has an invalid value."""
    if value is None and (param.optional or param.default is None):
        return None
    kinds = {"int": int, "float": int | float, "bool": bool, "str": str, "floats": list, "component": dict, "run": int}
    listed = not param.choices or value in param.choices or param.numbers_from is not None
    fits = isinstance(value, kinds[param.type]) and listed
    if param.type in ("int", "float", "run") and fits:
        low = -math.inf if param.minimum is None else param.minimum
        high = math.inf if param.maximum is None else param.maximum
        fits = not isinstance(value, bool) and low <= value <= high
    if param.type == "floats" and fits:
        fits = all(isinstance(item, int | float) and not isinstance(item, bool) for item in value)
    if param.type == "component" and fits:
        fits = isinstance(value.get("key"), str) and isinstance(value.get("params", {}), dict)
    if not fits:
        problem(f"{title(param)} ({param.name}) cannot be {str(value)[:50]}; the default is shown")
        return param.default
    return value


def _attributes(param: CatalogParam, value: Any, names: Sequence[str], key: str) -> list[str] | None:
    """Draw the choice of attributes; return None for none."""
    chosen = st.multiselect(
        title(param),
        names,
        [name for name in value or [] if name in names],
        key=key,
        persist_state="page",
        help=param.help or None,
        placeholder="the data set's groups",
        select_all=False,
    )
    return chosen or None


def _choice(param: CatalogParam, value: Any, key: str) -> Any:
    options: list[str | int | None] = [*([None] if param.optional else []), *param.choices]
    if value not in options and param.numbers_from is not None:
        options.append(value)
    return st.selectbox(
        title(param),
        options,
        index=options.index(value) if value in options else 0,
        key=key,
        persist_state="page",
        help=param.help or None,
        accept_new_options=param.numbers_from is not None,
        format_func=lambda option: "—" if option is None else readable(str(option)),
    )


def _number(param: CatalogParam, value: Any, key: str) -> int | float | None:
    whole = param.type in ("int", "run")
    number: int | float | None = number_field(
        title(param),
        value,
        key=key,
        whole=whole,
        step=1.0 if whole else _step(value, param.maximum),
        help=param.help or None,
        placeholder="default" if param.optional else None,
    )
    return number


def _step(value: Any, maximum: float | None) -> float:
    """Return the power of ten of the value, as the step of the buttons."""
    reference = abs(value) if value else (maximum or 1.0) / 10
    return 10.0 ** math.floor(math.log10(reference)) if reference else 0.1


def component(
    catalog: Catalog,
    kind: str,
    value: Mapping[str, Any],
    *,
    label: str,
    key: str,
    at: str,
    errors: FieldErrors,
    usable: Callable[[CatalogEntry], bool] = lambda entry: True,
    dataset: CatalogEntry | None = None,
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
    keep_edits: bool = False,
    settings: DeltaGenerator | None = None,
) -> dict[str, Any]:
    """Draw the choice of an entry and its parameters; return {key, params}. `defaults` has values by entry and
    parameter that stand in for the catalog's defaults, see `parameters`; `settings` is where its summary and its
    parameters are drawn, unless it is below the choice."""
    entries = [entry for entry in catalog.entries(kind) if usable(entry)]
    keys = [entry.key for entry in entries]
    chosen = st.selectbox(
        label,
        entries,
        index=keys.index(value["key"]) if value.get("key") in keys else 0,
        key=f"{key}/key",
        persist_state="page",
        format_func=lambda entry: f"{entry.label} (not available)" if entry.unavailable else entry.label,
    )
    if chosen is None:
        problem(f"the catalog has no {kind}")
        return dict(value)
    origin = f" From the plug-in {chosen.plugin.package} {chosen.plugin.version}." if chosen.plugin else ""
    if chosen.unavailable:
        st.warning(f"No worker can run it: {escaped(chosen.unavailable)}.", icon=":material/extension_off:")
    errors.show(f"{at}/key")
    given = value.get("params", {}) if value.get("key") == chosen.key else {}
    with settings or nullcontext():
        if settings is not None:
            st.markdown(f"**{escaped(label)}: {escaped(chosen.label)}**")
        st.caption(escaped(chosen.summary + origin))
        params = parameters(
            catalog,
            chosen,
            given,
            key=f"{key}/{chosen.key}",
            at=f"{at}/params",
            errors=errors,
            dataset=dataset,
            defaults=(defaults or {}).get(chosen.key),
            keep_edits=keep_edits,
        )
        errors.show(at)
    return {"key": chosen.key, "params": params}


def parameters(
    catalog: Catalog,
    entry: CatalogEntry,
    given: Mapping[str, Any],
    *,
    key: str,
    at: str,
    errors: FieldErrors,
    dataset: CatalogEntry | None = None,
    defaults: Mapping[str, Any] | None = None,
    keep_edits: bool = False,
    in_row: int = 3,
) -> dict[str, Any]:
    """Draw the parameters of an entry, `in_row` beside each other; return their values. A parameter with a value in
    `defaults`, which stands in for the catalog's, is drawn anew where that value changes; with `keep_edits`, which is
    for single numbers, only where the user has not given it another."""
    usual = {param.name: param.default for param in entry.params}
    own = dict(defaults or {})

    def widget_key(name: str, default: Any) -> str:
        return f"{key}/{name}" + (f"/{default}" if default != usual.get(name) else "")

    for name, now in own.items() if keep_edits else ():
        # The default that the widget began with, and whether it was given another value since
        began, edited = st.session_state.get(f"{key}/{name}/default", (now, False))
        value = st.session_state.get(widget_key(name, began), began)
        edited = value != now and (edited or value != began)
        own[name] = began if edited else now
        st.session_state[f"{key}/{name}/default"] = (own[name], edited)
    values: dict[str, Any] = {}
    for start in range(0, len(entry.params), in_row):
        cells = st.columns(in_row)
        for cell, param in zip(cells, entry.params[start : start + in_row], strict=False):
            with cell:
                values[param.name] = control(
                    param,
                    given.get(param.name, own.get(param.name, param.default)),
                    key=widget_key(param.name, own.get(param.name, param.default)),
                    at=f"{at}/{param.name}",
                    catalog=catalog,
                    errors=errors,
                    dataset=dataset,
                )
    return values
