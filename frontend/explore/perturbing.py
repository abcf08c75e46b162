"""The choice of the perturbation and its strength."""

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from densitylab.backend.shared.contracts import CatalogEntry, CatalogParam, Component
from densitylab.frontend.analysis.formatting import escaped, title
from densitylab.frontend.explore.link import VERSION, key, put, value
from densitylab.frontend.ui.api import catalog
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.widgets import parameters

_REACH = 10  # maximum of the slider, in default strengths


def choose_perturbation(fields: FieldErrors) -> tuple[CatalogEntry, Component]:
    """Return the entry and the perturbation; its first parameter is the strength, which has a slider."""
    perturbations = {entry.key: entry for entry in catalog().entries("perturbation")}
    if value("perturbation") not in perturbations:
        if value("perturbation") is not None:
            st.error(
                f"The link asks for the perturbation {escaped(value('perturbation')[:50])}, which does not exist.",
                icon=":material/link_off:",
            )
        put("perturbation", next(iter(perturbations)))
    messages = st.container()
    with st.sidebar.expander("Perturbation", expanded=True):
        entry = perturbations[
            st.selectbox(
                "Perturbation",
                list(perturbations),
                key=key("perturbation"),
                on_change=_reset_strength,
                format_func=lambda name: perturbations[name].label,
            )
        ]
        st.caption(escaped(entry.summary))
        strength = entry.params[0]
        params = {strength.name: _slider(strength, messages)}
        rest = entry.model_copy(update={"params": entry.params[1:]})
        params |= parameters(
            catalog(),
            rest,
            value("perturbation_params"),
            at="/perturbation/params",
            key=f"lab_perturbation_{st.session_state[VERSION]}/{entry.key}",
            errors=fields,
            in_row=1,
        )
        fields.show("/perturbation")
    return entry, Component(key=entry.key, params=params)


def _reset_strength() -> None:
    put("strength", None)


def _slider(param: CatalogParam, messages: DeltaGenerator) -> float | int:
    """Draw the slider from 0 (or the negative maximum) to ten times the default strength."""
    whole = param.type == "int"
    kind = int if whole else float
    top = kind(min(_REACH * param.default, param.maximum or _REACH * param.default))
    low = kind(max(-top if (param.minimum or 0) < 0 else 0, param.minimum or 0))
    given = value("strength")
    if given is not None and not low <= given <= top:
        messages.warning(
            f"The link asks for the strength {given:g}; the page allows {low:g} to {top:g}.",
            icon=":material/warning:",
        )
    put("strength", kind(param.default if given is None else min(max(given, low), top)))
    step = 1 if whole else param.default / 10
    return st.slider(
        f"Strength: {title(param)}", low, top, step=step, key=key("strength"), format="%g", help=param.help or None
    )


def strength_label(entry: CatalogEntry) -> str:
    """Return the label of the strength, for an axis."""
    return title(entry.params[0])


def without_strength(entry: CatalogEntry, params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters except the strength."""
    return {name: content for name, content in params.items() if name != entry.params[0].name}
