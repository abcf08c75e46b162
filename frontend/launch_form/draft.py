"""The request that the launch form starts from: a preset, or a copy of a run or an experiment."""

import uuid

import streamlit as st

from densitylab.backend.shared.contracts import ExperimentRequest, Run
from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.client import ApiError
from densitylab.frontend.client.presets import PRESETS
from densitylab.frontend.launch_form.copied_experiment import copied_experiment
from densitylab.frontend.launch_form.saved_draft import save_draft, saved_draft
from densitylab.frontend.launch_form.sweeps import form_plan
from densitylab.frontend.ui.api import api, catalog, show_problem
from densitylab.frontend.ui.query_params import query_int

DEFAULT = PRESETS[0].request
DRAFT, VERSION, IDEMPOTENCY = "launch_draft", "launch_version", "launch_idempotency"
LINK, ORIGINAL, SAVED = "launch_link", "launch_original", "launch_saved"
DIFFERENCES = "launch_differences"  # of a copy from its experiment, in sentences
TYPED = "launch_typed"  # those of the name and the tags of a copy that do not stem from its settings
COPIES = ("clone", "from")  # links to a copy of a run or an experiment
STARTS = ("continue", "weights")  # links to start from a run, and modes of `init_from`
MORE_EPOCHS = 5  # of a continued run, to begin with


def start_from(request: ExperimentRequest) -> None:
    """Fill the form with a request, which it is compared with from then on."""
    st.session_state.pop(ORIGINAL, None)
    st.session_state.pop(DIFFERENCES, None)
    st.session_state.pop(TYPED, None)
    change_to(request)


def change_to(request: ExperimentRequest) -> None:
    """Fill the form with a changed request; its widgets get new keys, so that they take the new values."""
    st.session_state[DRAFT] = request
    st.session_state[VERSION] = st.session_state.get(VERSION, 0) + 1
    new_launch()


def change_settings(request: ExperimentRequest) -> None:
    """Fill the form with other settings; name and tags that followed the last ones follow these."""
    before = form_key()
    change_to(request)
    for label in ("name", "tags"):
        st.session_state[f"{form_key()}/{label}/automatic"] = st.session_state.get(f"{before}/{label}/automatic")


def new_launch() -> None:
    """Make the next launch another one than the last; a repeated one happens once."""
    st.session_state[IDEMPOTENCY] = str(uuid.uuid4())


def form_key() -> str:
    """Return the prefix of the keys of the form's widgets."""
    return f"launch-{st.session_state[VERSION]}"


def is_copy() -> bool:
    """Return whether the form began with a run or an experiment, and not with a preset."""
    return any(st.query_params.get(name) for name in (*COPIES, *STARTS))


def keep_draft(request: ExperimentRequest | None) -> None:
    """Keep the request that the form shows in the link; None while it has none. The first one is the original; after a
    reload the saved one takes its place."""
    saved = st.session_state.pop(SAVED, None)
    if request is not None:
        st.session_state.setdefault(ORIGINAL, request)  # as the form first drew it
    if saved is not None and saved != request:
        change_to(saved)
        st.rerun()
    if request is not None:
        save_draft(request, st.session_state[ORIGINAL])


def open_link() -> None:
    """Fill the form from the link, once for each link; after other pages with what it last showed."""
    link = tuple(st.query_params.get(name) for name in (*COPIES, "preset", *STARTS))
    if st.session_state.get(LINK) == link and DRAFT in st.session_state:
        if f"{form_key()}/name" not in st.session_state and (saved := saved_draft()) is not None:
            change_to(saved)
        return
    st.session_state[LINK] = link
    st.session_state[SAVED] = saved_draft()
    start_from(DEFAULT)
    differences: list[str] = []
    typed = frozenset({"name", "tags"}) if is_copy() else frozenset()
    try:
        if (experiment_id := query_int("from")) is not None:
            copied = copied_experiment(api().experiment(experiment_id), api().runs_of(experiment_id), catalog())
            request, differences, typed = copied.request, copied.differences, copied.typed
        else:
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
        st.session_state[DIFFERENCES] = differences
        st.session_state[TYPED] = typed


def _linked_request() -> ExperimentRequest:
    if (run_id := query_int("clone")) is not None:
        run = api().run(run_id)
        spec = run.spec.model_dump(mode="json")
        return ExperimentRequest(name=f"Copy of run {run.id}", spec=spec, tags=run.tags, notes=run.notes)
    for mode in STARTS:
        if (run_id := query_int(mode)) is not None:
            return _request_from(api().run(run_id), mode)
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
