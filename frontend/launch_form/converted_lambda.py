"""The launch form's λ for another norm, power or target, from one that suits the defaults."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import PenaltyComparison, PenaltyRequest, Status
from densitylab.frontend.analysis.formatting import counted, escaped, title
from densitylab.frontend.launch_form.context import FormContext
from densitylab.frontend.ui.api import REFRESH_SECONDS, api, show_api_errors
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.number_field import number_field
from densitylab.frontend.ui.widgets import numbers_text


def draw_conversion(form: FormContext, spec: Mapping[str, Any], lambdas: Sequence[float]) -> None:
    """Draw the popover for a regularizer whose norm, power or target changes what λ means; nothing for others.

    Args:
        form: the form's context; the λ are those of its field "lambda".
        spec: the chosen data set, model and regularizer.
        lambdas: the present list.
    """
    entry = form.catalog.entry("regularizer", spec["regularizer"]["key"])
    rescaling = [param for param in entry.params if param.rescales] if entry is not None else []
    if not rescaling:
        return
    defaults = ", ".join(f"{title(param)} {param.default}" for param in rescaling)
    key = f"{form.key}/conversion"
    with st.popover("Convert λ", icon=":material/balance:"):
        st.caption(
            "λ of another norm, power or target is not comparable. This converts a λ₀ that you know to suit the "
            f"defaults ({escaped(defaults)}) to the λ with which the penalty chosen here weighs as much, by the ratio "
            "of the mean penalties. It holds for this data set and network alone."
        )
        fields = FieldErrors()
        lambda_ = number_field("λ₀ at the defaults", 1.0, key=f"{key}/lambda")
        fields.show("/lambda_")
        run = number_field(
            "Weights of run",
            None,
            key=f"{key}/run",
            whole=True,
            placeholder="new weights",
            help="Best a run that was trained with the defaults at λ₀; another power needs one. Empty: new weights, "
            "which do for another norm.",
        )
        fields.show("/run")
        request = {"spec": dict(spec), "lambda_": lambda_, "run": run}
        if st.button("Compute the penalties", key=f"{key}/compute", icon=":material/calculate:"):
            with show_api_errors(fields):
                task = api().request_penalties(PenaltyRequest.model_validate(request))
                st.session_state[key] = (request, task.id)
        asked, task_id = st.session_state.get(key, (None, None))
        if asked == request:
            with show_api_errors(fields):
                _show_task(task_id, f"{form.key}/lambda", lambdas)


def _show_task(task_id: int, field: str, lambdas: Sequence[float]) -> None:
    """Draw the progress, the error or the answer of a task; `field` is the key of the list of λ."""
    task = api().task(task_id)
    if task.status is Status.SUCCEEDED:
        _show_answer(api().penalties(task_id), field, lambdas)
    elif task.status.final:
        st.error(escaped(task.error or "The computation was cancelled."), icon=":material/error:")
    else:
        _show_progress(task_id)


@fragment(run_every=REFRESH_SECONDS)
def _show_progress(task_id: int) -> None:
    task = api().task(task_id)
    if task.status.final:
        st.rerun()
    st.progress(task.progress, text=f"Penalties: {task.stage or 'waiting for a worker'}")


def _show_answer(found: PenaltyComparison, field: str, lambdas: Sequence[float]) -> None:
    weights = f"the weights of run {found.run}" if found.run else f"new weights (seed {numbers_text(found.seeds)})"
    means = f"mean penalty {found.penalty:.2g}, at the defaults {found.reference_penalty:.2g}"
    where = f"{means}; {counted(found.images, 'training image')}, {weights}"
    if found.suggested_lambda is None:
        st.markdown(f"No λ: {where}.")
    else:
        value = float(f"{found.suggested_lambda:.2g}")
        st.markdown(f"**λ = {value:g}** ({where}).")
        baseline = [0.0] if 0 in lambdas else []
        st.button(
            "Use this λ",
            key=f"{field}/use",
            icon=":material/check:",
            help="In place of the list; 0 stays.",
            on_click=st.session_state.__setitem__,
            args=(field, numbers_text([*baseline, value])),
        )
    for caution in found.cautions:
        st.caption(escaped(caution))
