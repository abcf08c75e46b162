"""The launch form: from the widgets to an experiment's request."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import CatalogEntry, ExperimentRequest, OptunaSearch, Priority
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.launch_form.context import FormContext
from densitylab.frontend.launch_form.evaluation_choice import draw_evaluations
from densitylab.frontend.launch_form.extra_axis import draw_extra_axis
from densitylab.frontend.launch_form.regularization import Regularization, draw_regularization
from densitylab.frontend.launch_form.search import draw_search
from densitylab.frontend.launch_form.start_from import draw_init_from
from densitylab.frontend.launch_form.sweeps import build_sweep, form_plan
from densitylab.frontend.launch_form.training_options import draw_training_options
from densitylab.frontend.ui.api import show_api_errors
from densitylab.frontend.ui.field_errors import FieldErrors, problem


def draw_form(request: ExperimentRequest, catalog: Catalog, key: str, errors: FieldErrors) -> ExperimentRequest | None:
    """Draw the form; return its request, or None while a field cannot be read.

    Args:
        request: what the widgets start with.
        catalog: the API's.
        key: prefix of the widgets' keys.
        errors: of the last launch, each shown beside its field.
    """
    plan = form_plan(request)
    form = FormContext(catalog, plan.spec, key, errors)
    st.subheader("Data and model")
    with st.container(border=True):
        data_cell, model_cell = st.columns(2)
        with data_cell:
            spec: dict[str, Any] = {"dataset": form.component("dataset", "Data set")}
        dataset = catalog.entry("dataset", spec["dataset"]["key"])
        size = catalog.image_size(spec["dataset"]["key"], spec["dataset"]["params"])
        with model_cell:
            spec["model"] = form.component("model", "Model", usable=lambda entry: _fits(entry, size))
    st.subheader("Regularization")
    with st.container(border=True):
        regularization = draw_regularization(form, plan.grid, plan.methods, spec)
        spec |= regularization.components
    st.subheader("Training and evaluation")
    with st.container(border=True):
        training_cell, evaluation_cell = st.columns(2)
        with training_cell:
            spec |= _draw_training(form, spec["model"], dataset)
        with evaluation_cell:
            spec["evaluations"] = draw_evaluations(form, dataset)
    seeds = [int(seed) for seed in regularization.seeds or [0]]
    searches, search = draw_search(form, request, spec, seeds)
    extra = draw_extra_axis(form, spec, plan.grid)
    with st.expander(
        "Advanced: augmentation, learning rate, weight averaging, early stopping, loss, memory, precision, device"
    ):
        spec |= draw_training_options(form, dataset)
    spec["init_from"] = draw_init_from(form)
    spec |= _kept_interface(form, spec)
    st.subheader("Name and notes")
    labels = _draw_labels(request, form)

    if searches and (search is None or regularization.methods is None):
        return None
    if isinstance(search, OptunaSearch):
        if _alone(search, regularization):
            with show_api_errors(errors):
                return ExperimentRequest(
                    spec={**spec, "lambda_": (regularization.lambdas or [0.0])[0]}, search=search, **labels
                )
        return None
    if search is not None and regularization.methods is not None:
        components = [spec["regularizer"], *(method.component for method in regularization.methods)]
        sweep: Any = [{"regularizer": [component]} for component in components]
        with show_api_errors(errors):
            return ExperimentRequest(spec=spec, sweep=sweep, search=search, **labels)
        return None
    grid = {"lambda_": regularization.lambdas, "seed": regularization.seeds, **extra}
    complete = {path: values for path, values in grid.items() if values is not None}
    if regularization.methods is None or len(complete) < len(grid):
        return None
    for path, values in complete.items():
        if len(values) == 1:
            _set(spec, path, values[0])
    sweep = build_sweep(complete, regularization.methods, next(iter(extra), None))
    with show_api_errors(errors):
        return ExperimentRequest(spec=spec, sweep=sweep, **labels)
    return None


def _alone(search: OptunaSearch, regularization: Regularization) -> bool:
    """Return whether the form has no further values for the runs; else say which."""
    if regularization.methods:
        problem("A search with Optuna has one regularizer: remove the others, or search for λ by half decades.")
    elif len(regularization.lambdas or ()) != 1 and "lambda_" not in [item.path for item in search.parameters]:
        problem("Give one λ, or add λ to the parameters of the search.")
    else:
        return True
    return False


def _draw_training(form: FormContext, model: dict[str, Any], dataset: CatalogEntry | None) -> dict[str, Any]:
    epochs_cell, batch_cell = st.columns(2)
    with epochs_cell:
        epochs = st.number_input(
            "Epochs", 1, 10_000, form.spec["epochs"], key=f"{form.key}/epochs", persist_state="page"
        )
        form.errors.show("/spec/epochs")
    with batch_cell:
        batch_size = st.number_input(
            "Batch size", 1, 65_536, form.spec["batch_size"], key=f"{form.key}/batch", persist_state="page"
        )
        form.errors.show("/spec/batch_size")
    optimizer = _draw_optimizer(form, model)
    grouped = dataset is None or dataset.has_groups
    algorithm = form.component(
        "algorithm", "Training algorithm", usable=lambda entry: grouped or entry.needs_groups_if != {}
    )
    return {"epochs": epochs, "batch_size": batch_size, "optimizer": optimizer, "algorithm": algorithm}


def _draw_optimizer(form: FormContext, model: dict[str, Any]) -> dict[str, Any]:
    """Draw the optimizer, with the learning rate that the model's entry recommends unless the spec has one for it."""
    entry = form.catalog.entry("model", model["key"])
    rates = (entry.learning_rates if entry else None) or {}
    start = form.spec["optimizer"]
    if model["key"] != form.spec["model"]["key"]:  # that of another model
        start = {**start, "params": {name: value for name, value in start["params"].items() if name != "lr"}}
    optimizer = form.component(
        "optimizer", "Optimizer", start=start, defaults={key: {"lr": rate} for key, rate in rates.items()}
    )
    if entry is not None and optimizer["key"] in rates:
        st.caption(f"Recommended learning rate for {entry.label}: {rates[optimizer['key']]:g}.")
    return optimizer


def _draw_labels(request: ExperimentRequest, form: FormContext) -> dict[str, Any]:
    name_cell, tags_cell, priority_cell = st.columns([3, 2, 1])
    with name_cell:
        name = st.text_input("Name", request.name, key=f"{form.key}/name", persist_state="page", max_chars=200)
        form.errors.show("/name")
    with tags_cell:
        tags = st.multiselect(
            "Tags",
            request.tags,
            request.tags,
            key=f"{form.key}/tags",
            persist_state="page",
            accept_new_options=True,
            placeholder="type and press Enter",
        )
        form.errors.show("/tags")
    with priority_cell:
        priority = st.selectbox(
            "Priority",
            list(Priority),
            list(Priority).index(request.priority),
            key=f"{form.key}/priority",
            persist_state="page",
            format_func=lambda item: item.value,
            help="Queued runs of higher priority start first; running ones are not interrupted.",
        )
    notes = st.text_area(
        "Notes",
        request.notes,
        key=f"{form.key}/notes",
        persist_state="page",
        height=80,
        placeholder="What do you want to find out?",
    )
    form.errors.show("/notes")
    return {"name": name, "tags": tags, "priority": priority, "notes": notes}


def _kept_interface(form: FormContext, spec: dict[str, Any]) -> dict[str, Any]:
    """Return the interface of the copied run, which has no inputs of its own, while data set and network are its."""
    same = all(spec[kind] == form.spec[kind] for kind in ("dataset", "model"))
    return {"interface": form.spec["interface"]} if form.spec["interface"] is not None and same else {}


def _fits(model: CatalogEntry, size: Sequence[int] | None) -> bool:
    return size is None or model.min_image_size is None or min(size) >= model.min_image_size


def _set(spec: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for part in parents:
        spec = spec[part]
    spec[last] = value
