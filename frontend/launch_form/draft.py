"""The request that the launch form starts from: a preset, or a copy of a run or an experiment."""

import uuid
from collections.abc import Sequence

import streamlit as st

from densitylab.backend.shared.contracts import ExperimentRequest, FieldError, Run
from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.client import ApiError
from densitylab.frontend.client.presets import PRESETS
from densitylab.frontend.launch_form.sweeps import changes, form_plan
from densitylab.frontend.ui.api import api, show_problem
from densitylab.frontend.ui.query_params import query_int

DEFAULT = PRESETS[0].request
DRAFT, VERSION, ERRORS, IDEMPOTENCY = "launch_draft", "launch_version", "launch_errors", "launch_idempotency"
LINK, ORIGIN = "launch_link", "launch_origin"
STARTS = ("continue", "weights")  # links to start from a run, and modes of `init_from`
MORE_EPOCHS = 5  # of a continued run, to begin with


def start_from(request: ExperimentRequest) -> None:
    """Fill the form with a request; its widgets get new keys, so that they take the new values."""
    st.session_state[DRAFT] = request
    st.session_state[VERSION] = st.session_state.get(VERSION, 0) + 1
    st.session_state[ERRORS] = []
    st.session_state[IDEMPOTENCY] = str(uuid.uuid4())
    st.session_state.pop(ORIGIN, None)


def keep_errors(errors: Sequence[FieldError]) -> None:
    """Show these errors beside their fields until the next launch, which is a new one."""
    st.session_state[ERRORS] = errors
    st.session_state[IDEMPOTENCY] = str(uuid.uuid4())


def open_link() -> None:
    """Fill the form from the link, once for each link."""
    link = tuple(st.query_params.get(name) for name in ("clone", "from", "preset", *STARTS))
    if st.session_state.get(LINK) == link and DRAFT in st.session_state:
        return
    st.session_state[LINK] = link
    start_from(DEFAULT)
    try:
        request = _linked_request()
        form_plan(request)  # raises before anything is filled in
    except ApiError as error:
        show_problem(error)
    except ValueError as error:
        st.error(
            f"The form cannot draw this experiment ({escaped(str(error))}); it starts from a preset instead.",
            icon=":material/error:",
        )
    else:
        start_from(request)


def _linked_request() -> ExperimentRequest:
    if (run_id := query_int("clone")) is not None:
        run = api().run(run_id)
        spec = run.spec.model_dump(mode="json")
        return ExperimentRequest(name=f"Copy of run {run.id}", spec=spec, tags=run.tags, notes=run.notes)
    for mode in STARTS:
        if (run_id := query_int(mode)) is not None:
            return _request_from(api().run(run_id), mode)
    if (experiment_id := query_int("from")) is not None:
        experiment = api().experiment(experiment_id)
        copied = {**experiment.request, "name": f"Copy of {experiment.name}"[:200]}
        given = copied.get("spec") or {}
        if given.get("init_from") is not None and experiment.runs:
            # What the request left out is not the default, but what its runs took from the run that they start from
            spec = api().run(experiment.runs[0]).spec.model_dump(mode="json")
            copied["spec"] = {**spec, **given, "init_from": spec["init_from"] | given["init_from"]}
        return ExperimentRequest.model_validate(copied)
    preset = st.query_params.get("preset")
    return next((item.request for item in PRESETS if item.key == preset), DEFAULT)


def _request_from(run: Run, mode: str) -> ExperimentRequest:
    spec = run.spec.model_dump(mode="json")
    start = {"run": run.id, "mode": mode}
    if mode == "weights":
        return ExperimentRequest(name=f"From the weights of run {run.id}", spec=spec | {"init_from": start})
    if run.spec.init_from is not None:
        start |= run.spec.init_from.model_dump(include={"freeze", "head_learning_rate_factor"})
    longer = {"init_from": start, "epochs": run.spec.epochs + MORE_EPOCHS}
    return ExperimentRequest(name=f"Run {run.id} continued", spec=spec | longer, tags=run.tags)


def show_presets() -> None:
    """Draw a card per preset with the button that fills the form."""
    for cell, preset in zip(st.columns(len(PRESETS)), PRESETS, strict=True):
        with cell, st.container(border=True, height="stretch"):
            st.markdown(f"**{preset.label}**")
            minutes = f"{preset.minutes:g} min" if preset.minutes >= 1 else f"{preset.minutes * 60:.0f} s"
            st.caption(f"{preset.summary} About {minutes} on two CPU cores.")
            if st.button("Use this preset", key=f"preset-{preset.key}"):
                st.session_state[LINK] = (None, None, preset.key, *(None for _ in STARTS))
                start_from(preset.request)
                st.query_params.from_dict({"preset": preset.key})
                st.rerun()


def show_changes(request: ExperimentRequest) -> None:
    """List the differences between a copy and its original."""
    original = st.session_state.setdefault(ORIGIN, request)  # as the form first drew it
    clone, source, *_ = st.session_state[LINK]
    if not (clone or source):
        return
    differences = changes(original, request)
    if not differences:
        st.caption("A copy; nothing is changed yet.")
        return
    lines = [f"- {escaped(path)}: ~~{escaped(old)}~~ → **{escaped(new)}**" for path, old, new in differences]
    st.markdown("Changed in this copy:\n" + "\n".join(lines))
