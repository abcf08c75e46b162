"""The choice of the attribution method, its parameters, and the target class."""

from collections.abc import Sequence
from typing import Any, Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from densitylab.backend.shared.contracts import CatalogEntry, Run
from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.explore.link import VERSION, key, put, value
from densitylab.frontend.ui.api import catalog
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.widgets import parameters

Target = Literal["label", "predicted"] | int


def choose_maps(
    runs: Sequence[Run], class_names: Sequence[str], fields: FieldErrors
) -> tuple[CatalogEntry, dict[str, Any], Target]:
    """Return the method, its parameters, and the target; stop the page where the method does not fit a run's model."""
    messages = st.container()
    with st.sidebar.expander("Method", expanded=True):
        method, params, misfit = _choose_method(runs, fields, messages)
        target = _choose_target(method, class_names, messages)
        fields.show("/target")
    if misfit:
        st.info(f"{escaped(misfit)}. Choose another method, or other runs.", icon=":material/block:")
        st.stop()
    return method, params, target


def _choose_method(
    runs: Sequence[Run], fields: FieldErrors, messages: DeltaGenerator
) -> tuple[CatalogEntry, dict[str, Any], str]:
    """Return the method, its parameters, and why it does not fit the runs; empty where it does."""
    methods = {entry.key: entry for entry in catalog().entries("attribution")}
    if value("method") not in methods:
        if value("method") is not None:
            messages.error(
                f"The link asks for the method {escaped(value('method')[:50])}, which does not exist.",
                icon=":material/link_off:",
            )
        put("method", next(iter(methods)))
    reasons = {name: entry.unavailable or incompatibility(entry, runs) for name, entry in methods.items()}
    chosen = methods[
        st.selectbox(
            "Method",
            list(methods),
            key=key("method"),
            format_func=lambda name: methods[name].label + _suffix(methods[name], reasons[name]),
        )
    ]
    st.caption(escaped(chosen.summary))
    params = parameters(
        catalog(),
        chosen,
        value("params"),
        key=f"lab_params_{st.session_state[VERSION]}/{chosen.key}",
        at="/params",
        errors=fields,
        in_row=1,
    )
    fields.show("/method", "/params")
    return chosen, params, reasons[chosen.key]


def _suffix(method: CatalogEntry, reason: str) -> str:
    if method.unavailable:
        return " (not available)"
    return " (not for these models)" if reason else ""


def incompatibility(method: CatalogEntry, runs: Sequence[Run]) -> str:
    """Return why the method does not fit one of the models; empty where it fits all."""
    for run in runs:
        model = catalog().entry("model", run.spec.model.key)
        if model is not None and method.needs_convolutions and not model.has_convolutions:
            return f"{method.label} needs a model with convolutions, and {model.label} (run {run.id}) has none"
        mixed = None if model is None else model.multivariate
        has = run.spec.model.params
        if method.needs_univariate and mixed is not None and all(has.get(name) in mixed[name] for name in mixed):
            return (
                f"{method.label} is defined for activations and max pooling alone; run {run.id} has other "
                "non-linear operations"
            )
        activation = run.spec.model.params.get("activation")
        if method.needs_activation and activation is not None and activation not in method.needs_activation:
            return (
                f"{method.label} needs the activation {' or '.join(method.needs_activation)}; "
                f"run {run.id} has {activation}"
            )
    return ""


def _choose_target(method: CatalogEntry, class_names: Sequence[str], messages: DeltaGenerator) -> Target:
    targets = ["label", "predicted", *(str(index) for index in range(len(class_names)))]
    if value("split") == "upload":
        targets.remove("label")
    if value("target") not in targets:
        messages.error(
            f"The link asks for class {escaped(value('target')[:50])}; there are {len(class_names)}, counted "
            "from 0" + (", and an uploaded image has no label." if value("split") == "upload" else "."),
            icon=":material/link_off:",
        )
        put("target", targets[0])
    target = st.selectbox(
        "Target class",
        targets,
        key=key("target"),
        disabled=not method.needs_target,
        format_func=lambda item: (
            {"label": "true label", "predicted": "predicted class"}.get(item) or f"class {class_names[int(item)]}"
        ),
        help=None if method.needs_target else "This method does not depend on a class.",
    )
    if target.isdecimal():
        return int(target)
    return "label" if target == "label" else "predicted"


def score_name(method: CatalogEntry) -> str:
    """Return what the method explains, as a noun phrase."""
    return "the class score" if method.needs_target else "log p(x)"


def non_default(entry: CatalogEntry, params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that differ from their defaults, for the link."""
    defaults = {param.name: param.default for param in entry.params}
    return {name: given for name, given in params.items() if given != defaults.get(name)}
