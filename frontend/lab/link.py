"""The view of the saliency, stability and density pages as a link: read where it is new, written after each change.

The widgets' values are the view. A field's widget has the key `key(name)`; docs/architecture.md lists the fields.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from frontend.maps import DIVERGING, SEQUENTIAL, SIGNS
from frontend.panels import USUAL_CLIP
from frontend.words import escaped, joined

MAX_IMAGES, FIRST_IMAGES, MAX_ZOOM, USUAL_ZOOM = 16, 8, 8, 3
ALL, BY_INDEX = "all", "index"
CLIPS = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0)
LAYOUTS = ("side by side", "one run at a time")
DIRECTIONS, MAX_EXTENT = ("gradient", "random", "image"), 20.0  # of slices of log p
_SEEN, _LATER, VERSION = "lab_link", "lab_later", "lab_version"


def key(name: str) -> str:
    """Streamlit's key of the field's widget."""
    return f"lab_{name}"


def value(name: str) -> Any:
    """The field as the view has it."""
    return st.session_state[key(name)]


def put(name: str, content: Any) -> None:
    """Changes the field; before its widget is drawn, or in a callback."""
    st.session_state[key(name)] = content


# ---- what a field may say; each raises ValueError with what was expected ------------------------------------------


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
    found = _numbers(text)
    if len(found) > MAX_IMAGES:
        st.warning(f"A view shows at most {MAX_IMAGES} images; this link asks for {len(found)}. The first "
                   f"{MAX_IMAGES} are shown.", icon=":material/warning:")
    return joined(found[:MAX_IMAGES])


def _number(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        raise ValueError("a number") from None
    if not abs(found) < 1e9:
        raise ValueError("a number")
    return found


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise ValueError("an object in JSON")
    return found


def _one_of(*choices: Any) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        by_text = {str(choice): choice for choice in choices}
        if text not in by_text:
            raise ValueError(f"one of {', '.join(by_text)}")
        return by_text[text]

    return read


def _between(low: float, high: float, kind: Callable[[str], float]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        found = kind(text)
        if not low <= found <= high:
            raise ValueError(f"a number from {low:g} to {high:g}")
        return found

    return read


def _short(text: str) -> str:
    if len(text) > 100 or not text.isprintable():
        raise ValueError("at most 100 printable characters")
    return text


@dataclass(frozen=True)
class Field:
    """One word of the link."""

    name: str
    usual: Any  # what the view has where the link says nothing; left out of the link
    read: Callable[[str], Any]
    write: Callable[[Any], str] = str


FIELDS = (
    Field("runs", [], _numbers, joined),
    Field("split", "test", _one_of("test", "upload")),
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
    Field("clip", USUAL_CLIP, _one_of(*CLIPS), lambda clip: f"{clip}"),
    Field("opacity", 1.0, _between(0, 1, _number), lambda opacity: f"{opacity:g}"),
    Field("outline", False, _one_of(False, True)),
    Field("own_scale", False, _one_of(False, True)),
    Field("zoom", USUAL_ZOOM, _between(1, MAX_ZOOM, _whole)),
)
NOT_WIDGETS = ("params", "perturbation_params")  # drawn by widgets of their own, which the version renews


def adopt(**usual: Any) -> None:
    """Where the link is not the one that this view wrote, the view becomes what the link says.

    Args:
        usual: fields that this page has otherwise where the link says nothing.
    """
    query, state = st.query_params.to_dict(), st.session_state
    for name, content in state.pop(_LATER, {}).items():
        put(name, content)
    if state.get(_SEEN) == query and key("runs") in state:
        # Said again: the browser may not have drawn a widget yet when the maps that it waits for redraw the page
        for field in FIELDS:
            state[key(field.name)] = state.get(key(field.name), field.usual)
        state[key("count")] = state.get(key("count"), FIRST_IMAGES)
        return
    state[_SEEN] = query
    state[VERSION] = state.get(VERSION, 0) + 1
    for field in FIELDS:
        put(field.name, usual.get(field.name, field.usual))
        if field.name in query:
            try:
                put(field.name, field.read(query[field.name]))
            except ValueError as expected:
                st.error(f"This link says {escaped(field.name)} = {escaped(query[field.name][:100])}, which is not "
                         f"{expected}.", icon=":material/link_off:")
    put("count", len(value("samples").split(",")) if value("samples") else FIRST_IMAGES)


def change(**fields: Any) -> None:
    """Draws the page anew with these fields, whose widgets may have been drawn already."""
    st.session_state[_LATER] = fields
    st.rerun(scope="app")


def write(**told: Any) -> None:
    """Makes the link say what the view shows.

    Args:
        told: fields whose widgets do not hold them as the link says them, such as parameters.
    """
    query = query_of({field.name: told.get(field.name, value(field.name)) for field in FIELDS})
    if st.query_params.to_dict() != query:
        st.query_params.from_dict(query)
    st.session_state[_SEEN] = query


def query_of(view: Mapping[str, Any]) -> dict[str, str]:
    """The link's words for a view; for other pages that open one too."""
    return {
        field.name: field.write(view[field.name]) for field in FIELDS
        if field.name in view and view[field.name] != field.usual
    }
