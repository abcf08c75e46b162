"""Reads the fields of the saliency, stability and density pages from their link, and writes them to it.

The widgets hold the values. The widget of a field has the key `key(name)`; docs/architecture.md lists the fields.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import streamlit as st

from densitylab.frontend.analysis.formatting import escaped, joined
from densitylab.frontend.maps.render import DIVERGING, SEQUENTIAL, SIGNS
from densitylab.frontend.maps.view import DEFAULT_CLIP

MAX_IMAGES, FIRST_IMAGES, MAX_ZOOM, DEFAULT_ZOOM = 16, 8, 8, 3
ALL, BY_INDEX = "all", "index"
CLIPS = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0)
LAYOUTS = ("side by side", "one run at a time")
DIRECTIONS, MAX_EXTENT = ("gradient", "random", "image"), 20.0  # of slices of log p
_LAST_LINK, _LAST_RUNS, _PENDING, VERSION = "lab_link", "lab_last_runs", "lab_later", "lab_version"


def key(name: str) -> str:
    """Return Streamlit's key of the field's widget."""
    return f"lab_{name}"


def value(name: str) -> Any:
    """Return the current value of the field."""
    return st.session_state[key(name)]


def put(name: str, content: Any) -> None:
    """Set the field; call it before the widget is drawn, or in a callback."""
    st.session_state[key(name)] = content


# ---- parsers of the fields; each raises ValueError with a description of what it expects --------------------------


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise ValueError("a whole number")
    return int(text)


def _numbers(text: str) -> list[int]:
    try:
        return list(dict.fromkeys(_whole(part) for part in text.split(",") if part))
    except ValueError:
        raise ValueError("a list of whole numbers") from None


def _samples(text: str) -> str:
    indices = _numbers(text)
    if len(indices) > MAX_IMAGES:
        st.warning(
            f"The page shows at most {MAX_IMAGES} images; the link asks for {len(indices)}.",
            icon=":material/warning:",
        )
    return joined(indices[:MAX_IMAGES])


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError("a number") from None
    if not abs(number) < 1e9:
        raise ValueError("a number")
    return number


def _object(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        raise ValueError("a JSON object")
    return content


def _one_of(*choices: Any) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        by_text = {str(choice): choice for choice in choices}
        if text not in by_text:
            raise ValueError(f"one of {', '.join(by_text)}")
        return by_text[text]

    return read


def _between(low: float, high: float, kind: Callable[[str], float]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        number = kind(text)
        if not low <= number <= high:
            raise ValueError(f"a number from {low:g} to {high:g}")
        return number

    return read


def _short(text: str) -> str:
    if len(text) > 100 or not text.isprintable():
        raise ValueError("at most 100 printable characters")
    return text


@dataclass(frozen=True)
class Field:
    """One parameter of the link."""

    name: str
    default: Any  # left out of the link
    read: Callable[[str], Any]
    write: Callable[[Any], str] = str


FIELDS = (
    Field("runs", [], _numbers, joined),
    Field("split", "test", _one_of("test", "validation", "upload")),
    Field("samples", "", _samples),
    Field("method", None, _short),
    Field("params", {}, _object, lambda params: json.dumps(params, separators=(",", ":"))),
    Field("target", "label", _short),
    Field("perturbation", None, _short),
    Field("strength", None, _number, lambda strength: f"{strength:g}"),
    Field("perturbation_params", {}, _object, lambda params: json.dumps(params, separators=(",", ":"))),
    Field("direction", DIRECTIONS[0], _one_of(*DIRECTIONS)),
    Field("towards", None, _whole),
    Field("extent", 5.0, _between(0.1, MAX_EXTENT, _number), lambda extent: f"{extent:g}"),
    Field("class", ALL, _short),
    Field("group", ALL, _short),
    Field("only", ALL, _short),
    Field("worst", BY_INDEX, _short),
    Field("pin", None, _whole),
    Field("starred", [], _numbers, joined),
    Field("set", "", _short),
    Field("layout", LAYOUTS[0], _one_of(*LAYOUTS)),
    Field("at", None, _whole),  # the run on show, one at a time
    Field("sign", SIGNS[0], _one_of(*SIGNS)),
    Field("palette", None, _one_of(*DIVERGING, *SEQUENTIAL)),
    Field("clip", DEFAULT_CLIP, _one_of(*CLIPS), lambda clip: f"{clip}"),
    Field("opacity", 1.0, _between(0, 1, _number), lambda opacity: f"{opacity:g}"),
    Field("outline", True, _one_of(False, True)),
    Field("own_scale", False, _one_of(False, True)),
    Field("zoom", DEFAULT_ZOOM, _between(1, MAX_ZOOM, _whole)),
)


def read_view(defaults: Mapping[str, Any] = MappingProxyType({}), images: int = FIRST_IMAGES) -> bool:
    """Set every field from the link, unless this page wrote the link itself. Where a link names no runs, those that one
    of these pages last showed stay.

    Args:
        defaults: of fields whose default on this page differs from the field's own.
        images: number of images where the link names none.

    Returns:
        Whether the page was opened by a link that names no runs.
    """
    query, state = st.query_params.to_dict(), st.session_state
    for name, content in state.pop(_PENDING, {}).items():
        put(name, content)
    if state.get(_LAST_LINK) == query and key("runs") in state:
        # Set again, since Streamlit forgets a widget that the browser has not drawn before the next rerun
        for field in FIELDS:
            state[key(field.name)] = state.get(key(field.name), field.default)
        state[key("count")] = state.get(key("count"), images)
        return False
    state[_LAST_LINK] = query
    state[VERSION] = state.get(VERSION, 0) + 1
    for field in FIELDS:
        put(field.name, defaults.get(field.name, field.default))
        if field.name in query:
            try:
                put(field.name, field.read(query[field.name]))
            except ValueError as expected:
                st.error(
                    f"The link has {escaped(field.name)} = {escaped(query[field.name][:100])}, which is not "
                    f"{expected}.",
                    icon=":material/link_off:",
                )
    put("count", len(value("samples").split(",")) if value("samples") else images)
    if "runs" in query:
        return False
    put("runs", state.get(_LAST_RUNS, []))
    return True


def change_view(fields: Mapping[str, Any]) -> None:
    """Rerun the page with these fields, whose widgets may have been drawn already."""
    st.session_state[_PENDING] = fields
    st.rerun(scope="app")


def write_view(overrides: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Write the fields to the link.

    Args:
        overrides: fields that no single widget holds, such as parameters.
    """
    query = query_of({field.name: overrides.get(field.name, value(field.name)) for field in FIELDS})
    if st.query_params.to_dict() != query:
        st.query_params.from_dict(query)
    st.session_state[_LAST_LINK], st.session_state[_LAST_RUNS] = query, value("runs")


def query_of(view: Mapping[str, Any]) -> dict[str, str]:
    """Return the query parameters of these field values; other pages use it to link here."""
    return {
        field.name: field.write(view[field.name])
        for field in FIELDS
        if field.name in view and view[field.name] != field.default
    }
