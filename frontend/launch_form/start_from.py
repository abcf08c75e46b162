"""The launch form's choice of a run to start from."""

from typing import Any

import streamlit as st

from densitylab.frontend.launch_form.context import FormContext
from densitylab.frontend.ui.number_field import number_field

_MODES = {
    "weights": "its weights, in a new training",
    "continue": "its whole state: more epochs of the same run",
}
_HEADS = {
    "auto": "loaded if it fits",
    "keep": "loaded, has to fit",
    "new": "drawn anew",
}


def draw_init_from(form: FormContext) -> dict[str, Any] | None:
    """Draw the folded section; return the spec's `init_from`, None for new weights."""
    given = form.spec["init_from"] or {}
    with st.expander("Start from another run", expanded=bool(given), key=f"{form.key}/start-from"):
        run_cell, mode_cell = st.columns([1, 3])
        with run_cell:
            run = number_field(
                "Run",
                given.get("run"),
                key=f"{form.key}/from",
                whole=True,
                placeholder="none",
                help="Number of a run that has ended, or of an imported model. Empty: new weights.",
            )
            form.errors.show("/spec/init_from/run", "/spec/init_from")
        with mode_cell:
            modes = list(_MODES)
            mode = st.radio(
                "Take",
                modes,
                modes.index(given.get("mode", "weights")),
                key=f"{form.key}/from/mode",
                persist_state="page",
                format_func=_MODES.__getitem__,
                horizontal=True,
                help="A continued run keeps all settings but epochs, evaluations and device.",
            )
            form.errors.show("/spec/init_from/mode")
        freeze_cell, head_cell, factor_cell = st.columns([3, 2, 2])
        with freeze_cell:
            patterns = st.text_input(
                "Frozen parameters",
                " ".join(given.get("freeze", [])),
                key=f"{form.key}/from/freeze",
                persist_state="page",
                placeholder="none, or patterns such as features.*",
                help="Patterns of parameter names, separated by spaces. Batch norms whose parameters are all frozen "
                "keep their statistics.",
            )
            form.errors.show("/spec/init_from/freeze")
        with head_cell:
            heads = list(_HEADS)
            head = st.selectbox(
                "Last linear layer",
                heads,
                heads.index(given.get("head", "auto")),
                key=f"{form.key}/from/head",
                persist_state="page",
                format_func=_HEADS.__getitem__,
                help="It does not fit if the number of classes differs.",
            )
            form.errors.show("/spec/init_from/head")
        with factor_cell:
            factor = number_field(
                "Its learning rate, as a multiple",
                given.get("head_learning_rate_factor"),
                key=f"{form.key}/from/factor",
                placeholder="1",
                help="Empty: the learning rate of all other layers.",
            )
            form.errors.show("/spec/init_from/head_learning_rate_factor")
    if run is None:
        return None
    return {
        "run": run,
        "mode": mode,
        "freeze": patterns.split(),
        "head": head,
        "head_learning_rate_factor": factor,
    }
