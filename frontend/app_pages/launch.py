"""Draw up an experiment: a form from the catalog, presets that work at once, and the request behind it."""

import json
import uuid
from typing import Any

import streamlit as st
from pydantic import ValidationError

from backend.shared.contracts import MAX_RUNS_PER_EXPERIMENT, CatalogEntry, ExperimentRequest, FieldError, Priority
from frontend.catalog import Catalog
from frontend.client import ApiError
from frontend.cost import show_cost
from frontend.measure_form import measurable
from frontend.parts import api, catalog, flash, query_int, show_problem
from frontend.presets import PRESETS
from frontend.sweeps import Method, changes, drawn_from, log_spaced, runs_in, sweep_of
from frontend.training_options import draw_training_options
from frontend.widgets import FieldErrors, component, number_list, numbers_text, parameters, problem
from frontend.words import escaped, readable, title

DEFAULT = PRESETS[0].request
COMPONENTS = {
    "dataset": "Data set", "model": "Model", "regularizer": "Regularizer", "schedule": "Schedule of λ",
    "optimizer": "Optimizer",
}
DRAFT, VERSION, ERRORS, IDEMPOTENCY = "launch_draft", "launch_version", "launch_errors", "launch_idempotency"
LINK, ORIGIN = "launch_link", "launch_origin"


def start_from(request: ExperimentRequest) -> None:
    """Fills the form anew: its widgets get new keys, and so the request's values."""
    st.session_state[DRAFT] = request
    st.session_state[VERSION] = st.session_state.get(VERSION, 0) + 1
    st.session_state[ERRORS] = []
    st.session_state[IDEMPOTENCY] = str(uuid.uuid4())
    st.session_state.pop(ORIGIN, None)


def open_link() -> None:
    """A link may ask for a preset, for a copy of a run, or for a copy of an experiment."""
    wanted = tuple(st.query_params.get(name) for name in ("clone", "from", "preset"))
    if st.session_state.get(LINK) == wanted and DRAFT in st.session_state:
        return
    st.session_state[LINK] = wanted
    start_from(DEFAULT)
    try:
        request = linked_request()
        drawn_from(request)  # nothing is filled in by halves
    except ApiError as error:
        show_problem(error)
    except ValueError as error:
        st.error(f"The form cannot draw this experiment ({escaped(str(error))}); it starts from a preset instead.",
                 icon=":material/error:")
    else:
        start_from(request)


def linked_request() -> ExperimentRequest:
    if (run_id := query_int("clone")) is not None:
        run = api().run(run_id)
        spec = run.spec.model_dump(mode="json")
        return ExperimentRequest(name=f"Copy of run {run.id}", spec=spec, tags=run.tags, notes=run.notes)
    if (experiment_id := query_int("from")) is not None:
        experiment = api().experiment(experiment_id)
        posted = {**experiment.request, "name": f"Copy of {experiment.name}"[:200]}
        return ExperimentRequest.model_validate(posted)
    preset = st.query_params.get("preset")
    return next((item.request for item in PRESETS if item.key == preset), DEFAULT)


def show_presets() -> None:
    for cell, preset in zip(st.columns(len(PRESETS)), PRESETS, strict=True):
        with cell, st.container(border=True, height="stretch"):
            st.markdown(f"**{preset.label}**")
            minutes = f"{preset.minutes:g} min" if preset.minutes >= 1 else f"{preset.minutes * 60:.0f} s"
            st.caption(f"{preset.summary} About {minutes} on two CPU cores.")
            if st.button("Fill the form with this", key=f"preset-{preset.key}"):
                st.session_state[LINK] = (None, None, preset.key)
                start_from(preset.request)
                st.query_params.from_dict({"preset": preset.key})
                st.rerun()


def draw_log_spaced(key: str) -> None:
    """Fills the list of λ with numbers evenly spaced in their logarithm."""
    with st.popover("Log-spaced λ", icon=":material/linear_scale:"):
        low = st.number_input("From", 0.0, value=0.01, format="%g", step=0.01, key=f"{key}/spaced/low")
        high = st.number_input("To", 0.0, value=1.0, format="%g", step=0.1, key=f"{key}/spaced/high")
        count = st.number_input("How many", 2, 50, 3, key=f"{key}/spaced/count")
        with_zero = st.checkbox("And 0, the baseline", True, key=f"{key}/spaced/zero")
        try:
            values = numbers_text(log_spaced(low, high, int(count), with_zero=with_zero))
        except ValueError as error:
            problem(str(error))
            return
        st.caption(values)
        st.button("Take these", key=f"{key}/spaced/take", icon=":material/check:",
                  on_click=st.session_state.__setitem__, args=(f"{key}/lambda", values))


def draw_methods(chosen: str, methods: list[Method], lambdas: list[float], key: str) -> list[Method] | None:
    """Further regularizers, each with its own weights; None while a list cannot be read."""
    offered = catalog()
    given = {method.component["key"]: method for method in methods}
    entries = [entry for entry in offered.entries("regularizer") if entry.key != chosen]
    picked = st.multiselect(
        "Also train with", entries, [entry for entry in entries if entry.key in given], key=f"{key}/methods",
        format_func=lambda entry: entry.label, placeholder="other regularizers, to compare in one experiment",
        help="Each is trained with its own λ and with the same seeds.",
    )
    drawn: list[Method] = []
    for place, entry in enumerate(picked, start=1):
        method, at = given.get(entry.key), f"/sweep/{place}"
        with st.container(border=True):
            st.markdown(f"**{escaped(entry.label)}**")
            # What takes no parameter has no penalty to weigh
            values: list[float] | None = [0.0]
            if entry.params:
                values = number_list("λ", method.lambdas if method else lambdas,
                                     key=f"{key}/methods/{entry.key}/lambda")
                errors.show(f"{at}/lambda_")
            params = parameters(
                offered, entry, method.component["params"] if method else {}, key=f"{key}/methods/{entry.key}",
                at=f"{at}/regularizer/0/params", errors=errors,
            )
            errors.show(at)
        if values is None:
            return None
        drawn.append(Method({"key": entry.key, "params": params}, values))
    return drawn


def draw_evaluations(spec: dict[str, Any], dataset: CatalogEntry | None, key: str) -> list[dict[str, Any]]:
    offered = [entry for entry in catalog().entries("evaluation") if measurable(entry, dataset)]
    given = {item["key"]: item.get("params", {}) for item in spec["evaluations"]}
    chosen = st.multiselect(
        "Measures", offered, [entry for entry in offered if entry.key in given], key=f"{key}/evaluations",
        format_func=lambda entry: entry.label,
        help="Taken once each run is trained. Accuracy is always measured.",
    )
    drawn = []
    for place, entry in enumerate(chosen):
        at = f"/spec/evaluations/{place}"
        params: dict[str, Any] = {}
        if entry.params:
            with st.expander(f"{entry.label}: settings"):
                st.caption(entry.summary)
                params = parameters(
                    catalog(), entry, given.get(entry.key, {}), key=f"{key}/evaluations/{entry.key}",
                    at=f"{at}/params", errors=errors,
                )
        errors.show(at)
        drawn.append({"key": entry.key, "params": params})
    return drawn


def axis_options(offered: Catalog, spec: dict[str, Any]) -> dict[str, Any]:
    """Parameters of the chosen components that a sweep may vary besides λ and the seed, by dotted path."""
    found = {}
    for kind in COMPONENTS:
        entry = offered.entry(kind, spec[kind]["key"])
        for param in entry.params if entry else ():
            if param.type != "component":
                found[f"{kind}.params.{param.name}"] = param
    return found


def draw_axis(spec: dict[str, Any], sweep: dict[str, list[Any]], key: str) -> tuple[str, list[Any] | None] | None:
    """One more parameter to vary: (path, values), with None for values that cannot be read."""
    options = axis_options(catalog(), spec)
    given = next((path for path in sweep if path in options), None)
    path = st.selectbox(
        "Vary one more parameter", [None, *options], index=[None, *options].index(given), key=f"{key}/axis",
        format_func=lambda item: "nothing more" if item is None
        else f"{COMPONENTS[item.partition('.')[0]]}: {title(options[item])}",
        help="Every value is combined with every λ and seed.",
    )
    if path is None:
        return None
    param, values = options[path], sweep.get(path, [])
    if param.choices or param.type == "bool":
        choices = list(param.choices) or [False, True]
        chosen = st.multiselect(
            "Its values", choices, values or choices, key=f"{key}/axis/{path}",
            format_func=lambda item: readable(str(item)),
        )
        if not chosen:
            problem("choose at least one value")
            return path, None
        return path, chosen
    kind = int if param.type == "int" else float
    start = values or ([param.default] if param.default is not None else [0])
    return path, number_list("Its values", start, key=f"{key}/axis/{path}", help=param.help, kind=kind)


def draw_form(request: ExperimentRequest, key: str) -> ExperimentRequest | None:
    """The request as the form stands; None while something in it cannot be read."""
    offered = catalog()
    plan = drawn_from(request)
    spec, sweep = plan.spec, plan.grid
    st.subheader("What to train")
    with st.container(border=True):
        data_cell, model_cell = st.columns(2)
        drawn: dict[str, Any] = {}
        with data_cell:
            drawn["dataset"] = component(offered, "dataset", spec["dataset"], label=COMPONENTS["dataset"],
                                         key=f"{key}/dataset", at="/spec/dataset", errors=errors)
        dataset = offered.entry("dataset", drawn["dataset"]["key"])
        with model_cell:
            drawn["model"] = component(
                offered, "model", spec["model"], label=COMPONENTS["model"], key=f"{key}/model", at="/spec/model",
                errors=errors, usable=lambda entry: _fits(entry, dataset),
            )
    st.subheader("How to smooth it")
    with st.container(border=True):
        regularizer_cell, lambda_cell = st.columns([3, 2])
        with regularizer_cell:
            drawn["regularizer"] = component(
                offered, "regularizer", spec["regularizer"], label=COMPONENTS["regularizer"],
                key=f"{key}/regularizer", at="/spec/regularizer", errors=errors,
            )
        with lambda_cell:
            lambdas = number_list(
                "λ: weights of the penalty", sweep["lambda_"], key=f"{key}/lambda",
                help="One run for each, separated by commas. 0 is the baseline without smoothing; good first "
                     "steps are powers of ten.",
            )
            errors.show("/spec/lambda_", "/sweep/lambda_", "/sweep/0/lambda_")
            draw_log_spaced(key)
            seeds = number_list(
                "Seeds", sweep["seed"], key=f"{key}/seeds", kind=int,
                help="Each λ is trained once for each seed; three or more give an interval.",
            )
            errors.show("/spec/seed", "/sweep/seed", "/sweep/0/seed")
            drawn["schedule"] = component(offered, "schedule", spec["schedule"], label=COMPONENTS["schedule"],
                                          key=f"{key}/schedule", at="/spec/schedule", errors=errors)
        methods = draw_methods(drawn["regularizer"]["key"], plan.methods, lambdas or [0.1], key)
    st.subheader("How long, and what to measure")
    with st.container(border=True):
        training_cell, measures_cell = st.columns(2)
        with training_cell:
            epochs_cell, batch_cell = st.columns(2)
            with epochs_cell:
                epochs = st.number_input("Epochs", 1, 10_000, spec["epochs"], key=f"{key}/epochs")
                errors.show("/spec/epochs")
            with batch_cell:
                batch_size = st.number_input("Batch size", 1, 65_536, spec["batch_size"], key=f"{key}/batch")
                errors.show("/spec/batch_size")
            drawn["optimizer"] = component(offered, "optimizer", spec["optimizer"], label=COMPONENTS["optimizer"],
                                           key=f"{key}/optimizer", at="/spec/optimizer", errors=errors)
        with measures_cell:
            drawn["evaluations"] = draw_evaluations(spec, dataset, key)
    axis = draw_axis({**spec, **drawn}, sweep, key)
    if axis:
        errors.show(f"/sweep/{axis[0]}", f"/sweep/0/{axis[0]}")
    with st.expander("Advanced: augmentation, learning rate, averaging, early stop, precision, device"):
        drawn |= draw_training_options(offered, spec, dataset, key, errors)
    st.subheader("What to call it")
    name_cell, tags_cell, priority_cell = st.columns([3, 2, 1])
    with name_cell:
        name = st.text_input("Name", request.name, key=f"{key}/name", max_chars=200)
        errors.show("/name")
    with tags_cell:
        tags = st.multiselect("Tags", request.tags, request.tags, key=f"{key}/tags", accept_new_options=True,
                              placeholder="type and press Enter")
        errors.show("/tags")
    with priority_cell:
        priority = st.selectbox("Priority", list(Priority), list(Priority).index(request.priority),
                                key=f"{key}/priority", format_func=lambda item: item.value,
                                help="Which trainings go first; none interrupts another.")
    notes = st.text_area("Notes", request.notes, key=f"{key}/notes", height=80,
                         placeholder="What do you want to find out?")
    errors.show("/notes")

    lists = {"lambda_": lambdas, "seed": seeds, **({axis[0]: axis[1]} if axis else {})}
    if methods is None or any(values is None for values in lists.values()):
        return None
    whole = {**drawn, "epochs": epochs, "batch_size": batch_size}
    for path, values in lists.items():
        if len(values) == 1:
            _set(whole, path, values[0])
    try:
        return ExperimentRequest(name=name, spec=whole, sweep=sweep_of(lists, methods, axis[0] if axis else None),
                                 notes=notes, tags=tags, priority=priority)
    except ValidationError as error:
        for item in error.errors():
            problem(f"{item['loc'][0]}: {item['msg']}")
        return None


def _fits(model: CatalogEntry, dataset: CatalogEntry | None) -> bool:
    size = dataset.image_size if dataset else None
    return size is None or model.min_image_size is None or min(size) >= model.min_image_size


def _set(spec: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for part in parents:
        spec = spec[part]
    spec[last] = value


def show_changes(request: ExperimentRequest) -> None:
    """What a copy changes of what it was made from."""
    origin = st.session_state.setdefault(ORIGIN, request)  # as the form first drew it
    copied = st.session_state[LINK][0] or st.session_state[LINK][1]
    if not copied:
        return
    found = changes(origin, request)
    if not found:
        st.caption("A copy: nothing is changed yet.")
        return
    lines = [f"- {escaped(path)}: ~~{escaped(old)}~~ → **{escaped(new)}**" for path, old, new in found]
    st.markdown("Changed in this copy:\n" + "\n".join(lines))


def show_request(request: ExperimentRequest) -> None:
    body = request.model_dump(mode="json", exclude_none=True)
    with st.expander("The same as a REST request"):
        st.caption("Any other tool can launch this. With a token set, add: -H 'Authorization: Bearer …'")
        text = json.dumps(body, indent=2, ensure_ascii=False)
        quoted = text.replace("'", "'\\''")
        st.code(f"curl -X POST {api().url}/api/v1/experiments \\\n  -H 'Content-Type: application/json' \\\n"
                f"  -d '{quoted}'", language="bash")


def launch(request: ExperimentRequest) -> None:
    try:
        experiment = api().launch(request, idempotency_key=st.session_state[IDEMPOTENCY])
    except ApiError as error:
        st.session_state[ERRORS] = error.errors or [FieldError(pointer="", detail=str(error))]
        st.session_state[IDEMPOTENCY] = str(uuid.uuid4())
        st.rerun()
    start_from(request)
    flash(f"Launched: {len(experiment.runs)} run{'s' if len(experiment.runs) > 1 else ''}.")
    if len(experiment.runs) == 1:
        st.switch_page("app_pages/run.py", query_params={"run": str(experiment.runs[0])})
    st.switch_page("app_pages/compare.py", query_params={"experiment": str(experiment.id)})


st.title("Launch")
open_link()
errors = FieldErrors(st.session_state[ERRORS])
show_presets()
drawn_request = draw_form(st.session_state[DRAFT], f"launch-{st.session_state[VERSION]}")
if drawn_request is not None:
    show_changes(drawn_request)
    show_request(drawn_request)
for left in errors.left:
    problem(f"{left.pointer} {left.detail}".strip())
if errors.errors:
    st.caption(":red[Not launched: correct what is marked in red, then launch again.]")
count = 0 if drawn_request is None else runs_in(drawn_request.sweep)
too_many = count > MAX_RUNS_PER_EXPERIMENT
if too_many:
    problem(f"This makes {count} runs; an experiment takes at most {MAX_RUNS_PER_EXPERIMENT}.")
launchable = drawn_request is not None and not too_many and show_cost(drawn_request)
label = "Launch" if count == 0 else f"Launch {count} run{'s' if count > 1 else ''}"
if st.button(label, type="primary", icon=":material/rocket_launch:", disabled=not launchable,
             key="launch-button") and drawn_request is not None:
    launch(drawn_request)
