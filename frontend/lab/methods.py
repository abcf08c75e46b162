"""Which maps: the attribution method with its parameters, and the class that they are of."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from backend.shared.contracts import CatalogEntry, Run
from frontend.lab.link import VERSION, key, put, value
from frontend.parts import catalog
from frontend.widgets import FieldErrors, parameters
from frontend.words import escaped


def choose_maps(runs: Sequence[Run], class_names: Sequence[str]) -> tuple[CatalogEntry, dict[str, Any], str | int]:
    """(method, its parameters, the class); what does not suit a run's model is said. Stops the page where the choice
    doesn't."""
    method_cell, target_cell = st.columns(2)
    with method_cell:
        method, params = _choose_method(runs)
    with target_cell:
        return method, params, _choose_target(method, class_names)


def _choose_method(runs: Sequence[Run]) -> tuple[CatalogEntry, dict[str, Any]]:
    offered = {entry.key: entry for entry in catalog().entries("attribution")}
    if value("method") not in offered:
        if value("method") is not None:
            st.error(f"This link asks for the method {escaped(value('method')[:50])}, which is not on offer.",
                     icon=":material/link_off:")
        put("method", next(iter(offered)))
    reasons = {name: unfit(entry, runs) for name, entry in offered.items()}
    chosen = offered[st.selectbox(
        "Method", list(offered), key=key("method"),
        format_func=lambda name: offered[name].label + (" (not for these models)" if reasons[name] else ""),
    )]
    st.caption(escaped(chosen.summary))
    if reasons[chosen.key]:
        st.info(f"{escaped(reasons[chosen.key])}. Choose another method, or other runs.", icon=":material/block:")
        st.stop()
    params = parameters(catalog(), chosen, value("params"), key=f"lab_params_{st.session_state[VERSION]}/{chosen.key}",
                        at="/params", errors=FieldErrors())
    return chosen, params


def unfit(method: CatalogEntry, runs: Sequence[Run]) -> str:
    """Why the method can't be had of one of the models; empty where it can."""
    for run in runs:
        model = catalog().entry("model", run.spec.model.key)
        if model is not None and method.needs_convolutions and not model.has_convolutions:
            return f"{method.label} needs a model with convolutions, which {model.label} (run {run.id}) has not"
        activation = run.spec.model.params.get("activation")
        if method.needs_activation and activation is not None and activation not in method.needs_activation:
            return (f"{method.label} needs the activation {' or '.join(method.needs_activation)}; "
                    f"run {run.id} has {activation}")
    return ""


def _choose_target(method: CatalogEntry, class_names: Sequence[str]) -> str | int:
    targets = ["label", "predicted", *(str(place) for place in range(len(class_names)))]
    if value("split") == "upload":
        targets.remove("label")
    if value("target") not in targets:
        st.error(f"This link asks for class {escaped(value('target')[:50])}; there are {len(class_names)}, counted "
                 "from 0" + (", and an uploaded image has no label." if value("split") == "upload" else "."),
                 icon=":material/link_off:")
        put("target", targets[0])
    target = st.selectbox(
        "Of which class", targets, key=key("target"), disabled=not method.needs_target,
        format_func=lambda item: {"label": "the true label", "predicted": "the predicted class"}.get(item)
        or f"class {class_names[int(item)]}",
        help=None if method.needs_target else "This method is of no class.",
    )
    return int(target) if target.isdecimal() else target


def changed(entry: CatalogEntry, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters that are not at their defaults, for the link."""
    defaults = {param.name: param.default for param in entry.params}
    return {name: given for name, given in params.items() if given != defaults.get(name)}
