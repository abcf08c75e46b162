"""What is done to the images, and how strongly."""

from typing import Any

import streamlit as st

from backend.shared.contracts import CatalogEntry, CatalogParam, Component
from frontend.lab.link import VERSION, key, put, value
from frontend.parts import catalog
from frontend.widgets import FieldErrors, parameters
from frontend.words import escaped, title

_REACH = 10  # of the slider, in usual strengths


def choose_perturbation() -> tuple[CatalogEntry, Component]:
    """(entry, the perturbation with its parameters); the first parameter is its strength, which has the slider."""
    offered = {entry.key: entry for entry in catalog().entries("perturbation")}
    if value("perturbation") not in offered:
        if value("perturbation") is not None:
            st.error(f"This link asks for the perturbation {escaped(value('perturbation')[:50])}, which is not on "
                     "offer.", icon=":material/link_off:")
        put("perturbation", next(iter(offered)))
    what, how = st.columns([2, 5])
    entry = offered[what.selectbox("Perturbation", list(offered), key=key("perturbation"), on_change=_usual_strength,
                                   format_func=lambda name: offered[name].label)]
    strength = entry.params[0]
    with how:
        params = {strength.name: _slider(strength)}
        rest = entry.model_copy(update={"params": entry.params[1:]})
        params |= parameters(catalog(), rest, value("perturbation_params"), at="/perturbation/params",
                             key=f"lab_perturbation_{st.session_state[VERSION]}/{entry.key}", errors=FieldErrors())
    what.caption(escaped(entry.summary))
    return entry, Component(key=entry.key, params=params)


def _usual_strength() -> None:
    put("strength", None)


def _slider(param: CatalogParam) -> float | int:
    """From none (or as far below) to ten times the usual strength."""
    whole = param.type == "int"
    kind = int if whole else float
    top = kind(min(_REACH * param.default, param.maximum or _REACH * param.default))
    low = kind(max(-top if (param.minimum or 0) < 0 else 0, param.minimum or 0))
    asked = value("strength")
    if asked is not None and not low <= asked <= top:
        st.warning(f"This link asks for the strength {asked:g}; the page goes from {low:g} to {top:g}.",
                   icon=":material/warning:")
    put("strength", kind(param.default if asked is None else min(max(asked, low), top)))
    step = 1 if whole else param.default / 10
    return st.slider(f"Strength: {title(param)}", low, top, step=step, key=key("strength"), format="%g",
                     help=param.help or None)


def strength_words(entry: CatalogEntry) -> str:
    """The strength's name, for an axis."""
    return title(entry.params[0])


def rest_of(entry: CatalogEntry, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters that are not the strength."""
    return {name: given for name, given in params.items() if name != entry.params[0].name}
