"""The launch form: from the widgets to an experiment's request."""

from collections.abc import Collection, Sequence
from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import CatalogEntry, ExperimentRequest, OptunaSearch, RunSpec, Search
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.launch_form.attack_epsilon import chosen_epsilon, following, training_radii, usual_epsilon
from densitylab.frontend.launch_form.context import FormContext
from densitylab.frontend.launch_form.evaluation_choice import draw_evaluations
from densitylab.frontend.launch_form.extra_axis import draw_extra_axis
from densitylab.frontend.launch_form.labels import Labels, draw_labels, labels_of
from densitylab.frontend.launch_form.layout import Layout
from densitylab.frontend.launch_form.regularization import Cells, Regularization, draw_regularization
from densitylab.frontend.launch_form.search import draw_search
from densitylab.frontend.launch_form.start_from import draw_init_from
from densitylab.frontend.launch_form.sweeps import build_sweep, form_plan, set_value, without_baselines
from densitylab.frontend.launch_form.training_options import TRAINING_OPTIONS, draw_training_options
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.number_field import number_field


def draw_form(
    request: ExperimentRequest,
    catalog: Catalog,
    key: str,
    errors: FieldErrors,
    layout: Layout,
    *,
    original: ExperimentRequest | None,
    typed: Collection[str],
) -> ExperimentRequest | None:
    """Draw the form; return its request, or None while a field cannot be read, which `errors` says.

    Args:
        request: what the widgets start with.
        catalog: the API's.
        key: prefix of the widgets' keys.
        errors: takes what is wrong, and shows it beside its field.
        layout: the places of essentials and settings.
        original: what the form began with, as it drew it; None: it draws it now.
        typed: see `labels_of`.
    """
    plan = following(form_plan(request), catalog)
    form = FormContext(catalog, plan.spec, key, errors)
    with layout.essentials:
        data_cell, model_cell, regularizer_cell = st.columns(3)
        lambda_cell, seeds_cell, epochs_cell, batch_cell = st.columns([3, 2, 2, 2])
        evaluations_cell = st.container()
    with layout.settings:
        boxes = [st.container(border=True) for _ in range(5)]
    data_box, model_box, regularizer_box, training_box, evaluations_box = boxes

    with data_cell:
        spec: dict[str, Any] = {"dataset": form.component("dataset", "Data set", settings=data_box)}
    dataset = catalog.entry("dataset", spec["dataset"]["key"])
    size = catalog.image_size(spec["dataset"]["key"], spec["dataset"]["params"])
    with model_cell:
        spec["model"] = form.component("model", "Model", usable=lambda entry: _fits(entry, size), settings=model_box)
    with evaluations_cell:
        spec["evaluations"] = draw_evaluations(form, dataset, settings=evaluations_box)
        errors.show("/spec/evaluations")
    epsilon = chosen_epsilon(spec["evaluations"], catalog, usual_epsilon(dataset))
    cells = Cells(regularizer_cell, lambda_cell, seeds_cell, regularizer_box)
    data_and_model = {kind: spec[kind] for kind in ("dataset", "model")}
    regularization = draw_regularization(form, plan.grid, plan.methods, data_and_model, cells, epsilon)
    spec |= regularization.components
    with epochs_cell:
        spec["epochs"] = number_field("Epochs", form.spec["epochs"], key=f"{key}/epochs", whole=True)
        errors.show("/spec/epochs")
    with batch_cell:
        spec["batch_size"] = number_field("Batch size", form.spec["batch_size"], key=f"{key}/batch", whole=True)
        errors.show("/spec/batch_size")
    with training_box:
        spec |= _draw_training(form, spec["model"], dataset, epsilon)
    with layout.settings:
        searches, search = draw_search(form, request, spec, [int(seed) for seed in regularization.seeds or [0]])
        extra = draw_extra_axis(form, spec, plan.grid)
        spec |= _draw_advanced(form, dataset)
        spec["init_from"] = draw_init_from(form)
        spec |= _kept_interface(form, spec)
        errors.show("/spec/interface")
        unlabelled = _request(spec, regularization, extra, searches, search, errors)
        suited = Labels(request.name, list(request.tags))
        if unlabelled is not None and original is not None:
            suited = labels_of(unlabelled, original, typed=typed, catalog=catalog)
        labels = draw_labels(request, form, suited if unlabelled is not None else None)
    if unlabelled is None:
        return None
    with errors.of_contract():
        return ExperimentRequest(spec=unlabelled.spec, sweep=unlabelled.sweep, search=unlabelled.search, **labels)
    return None


def _request(
    spec: dict[str, Any],
    regularization: Regularization,
    extra: dict[str, list[Any] | None],
    searches: bool,
    search: Search | None,
    errors: FieldErrors,
) -> ExperimentRequest | None:
    """Return the request without its labels; None where a field of it is wrong, which `errors` says then."""
    lambdas, seeds, methods = regularization.lambdas, regularization.seeds, regularization.methods
    sweep: Any = None
    if isinstance(search, OptunaSearch):
        _require_alone(search, regularization, errors)
        spec["lambda_"] = (lambdas or [0.0])[0]
    elif search is not None:
        components = [spec["regularizer"], *(method.component for method in methods or ())]
        sweep = [{"regularizer": [component]} for component in components]
    elif lambdas is not None and seeds is not None and methods is not None:
        grid = {"lambda_": lambdas, "seed": seeds, **extra}
        complete = {path: values for path, values in grid.items() if values is not None}
        for path, values in complete.items():
            if len(values) == 1:
                set_value(spec, path, values[0])
        sweep = build_sweep(complete, without_baselines(methods, lambdas), next(iter(extra), None))
    with errors.of_contract("/spec"):
        RunSpec.model_validate(spec)
    if errors.errors or (searches and search is None):
        return None
    with errors.of_contract():
        return ExperimentRequest(spec=spec, sweep=sweep, search=search)
    return None


def _require_alone(search: OptunaSearch, regularization: Regularization, errors: FieldErrors) -> None:
    """Refuse further values for the runs beside those of the search."""
    if regularization.methods:
        errors.refuse(
            "/search", "a search with Optuna has one regularizer: remove the others, or search for λ by half decades"
        )
    elif len(regularization.lambdas or ()) != 1 and "lambda_" not in [item.path for item in search.parameters]:
        errors.refuse("/search/parameters", "give one λ, or add λ to the parameters of the search")


def _draw_training(
    form: FormContext, model: dict[str, Any], dataset: CatalogEntry | None, epsilon: float
) -> dict[str, Any]:
    optimizer = _draw_optimizer(form, model)
    grouped = dataset is None or dataset.has_groups
    algorithm = form.component(
        "algorithm",
        "Training algorithm",
        usable=lambda entry: grouped or entry.needs_groups_if != {},
        defaults=training_radii(form.catalog, "algorithm", epsilon),
        keep_edits=True,
    )
    return {"optimizer": optimizer, "algorithm": algorithm}


def _draw_advanced(form: FormContext, dataset: CatalogEntry | None) -> dict[str, Any]:
    """Draw the folded options; their fields, which take the browser long, once they are opened or have values."""
    options, defaults = (
        {name: spec[name] for name in TRAINING_OPTIONS} | {"lr_schedule": _complete(spec["lr_schedule"], form.catalog)}
        for spec in (form.spec, RunSpec().model_dump())
    )
    expander = st.expander(
        "Advanced: augmentation, learning rate, weight averaging, early stopping, loss, memory, precision, device",
        key=f"{form.key}/advanced",
        on_change="rerun",
    )
    used = f"{form.key}/advanced/used"
    if expander.open or options != defaults:
        st.session_state[used] = True
    if used not in st.session_state:
        return options
    with expander:
        return draw_training_options(form, dataset)


def _complete(lr_schedule: dict[str, Any], catalog: Catalog) -> dict[str, Any]:
    entry = catalog.entry("lr_schedule", lr_schedule["key"])
    usual = {param.name: param.default for param in entry.params} if entry else {}
    return {"key": lr_schedule["key"], "params": usual | lr_schedule["params"]}


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


def _kept_interface(form: FormContext, spec: dict[str, Any]) -> dict[str, Any]:
    """Return the interface of the copied run, which has no inputs of its own, while data set and network are its."""
    same = all(spec[kind] == form.spec[kind] for kind in ("dataset", "model"))
    return {"interface": form.spec["interface"]} if form.spec["interface"] is not None and same else {}


def _fits(model: CatalogEntry, size: Sequence[int] | None) -> bool:
    return size is None or model.min_image_size is None or min(size) >= model.min_image_size
