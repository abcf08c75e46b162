"""The form of an import: from the widgets to the request."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import CatalogEntry, FittingModel, ImportRequest, Inspection, RunSpec
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.import_form.class_order import draw_classes
from densitylab.frontend.import_form.inspection_view import proposal_text, show_misfits
from densitylab.frontend.import_form.normalization import draw_image_size, draw_normalization
from densitylab.frontend.launch_form.context import FormContext
from densitylab.frontend.launch_form.evaluation_choice import draw_evaluations
from densitylab.frontend.launch_form.evaluation_form import applicable
from densitylab.frontend.ui.api import api, show_api_errors
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.widgets import component

OTHER = "another network"
ACCURACY_ALONE, AS_A_LAUNCH, ALL = "accuracy alone", "as a launch", "all"
EXPERIMENTS = 50


def draw_request(
    found: Inspection | None,
    dataset: Mapping[str, Any],
    catalog: Catalog,
    key: str,
    errors: FieldErrors,
) -> ImportRequest | None:
    """Draw the form; return its request, or None while a field cannot be read.

    Args:
        found: the inspected file; None: published weights.
        dataset: the chosen data set, as {key, params}.
        catalog: the API's.
        key: prefix of the widgets' keys.
        errors: of the last request, each shown beside its field.
    """
    entry = catalog.entry("dataset", str(dataset["key"]))
    fields: dict[str, Any] = {"dataset": dict(dataset)}
    network_cell, images_cell = st.columns(2)
    with network_cell, st.container(border=True, height="stretch"):
        st.markdown("**Network**")
        fields["model"], fits = _draw_network(found, catalog, key, errors)
        if found is not None:
            fields |= {"upload": found.id, **_draw_loading(found, fits, key, errors)}
    with images_cell, st.container(border=True, height="stretch"):
        st.markdown("**Images and classes**")
        parts = [
            draw_normalization(entry.channels or 3 if entry else 3, key, errors),
            draw_image_size(catalog.image_size(str(dataset["key"]), dataset["params"]), key, errors),
        ]
        classes = draw_classes(found, entry.class_names if entry else [], key, errors)
    evaluations_cell, record_cell = st.columns(2)
    with evaluations_cell, st.container(border=True, height="stretch"):
        st.markdown("**Evaluations**")
        fields["evaluations"] = _draw_evaluations(catalog, entry, key, errors)
    with record_cell, st.container(border=True, height="stretch"):
        st.markdown("**Record**")
        labels = _draw_labels(key, errors)
        training = _draw_training(catalog, key, errors)
    if classes is None or any(part is None for part in parts):
        return None
    for part in (*parts, labels, training):
        fields |= part or {}
    with show_api_errors(errors):
        return ImportRequest(
            **fields, outputs=classes.outputs, class_names=classes.class_names, class_order=classes.class_order
        )
    return None


def _draw_network(
    found: Inspection | None, catalog: Catalog, key: str, errors: FieldErrors
) -> tuple[dict[str, Any], FittingModel | None]:
    """Draw the choice of the network, the best proposal first; return it as {key, params} with its proposal."""
    if found is None:
        published = {entry.key for entry in catalog.entries("model") if _pretrained(entry)}
        first = next((entry for entry in catalog.entries("model") if entry.key in published), None)
        start = {} if first is None else {"key": first.key, "params": _pretrained(first)}
        chosen = _draw_model(catalog, start, key, errors, published)
        model = catalog.entry("model", chosen["key"])
        return {**chosen, "params": chosen["params"] | (_pretrained(model) if model else {})}, None
    proposals = [*found.models, None]
    index = st.selectbox(
        "Networks that fit",
        range(len(proposals)),
        key=f"{key}/proposal",
        persist_state="page",
        format_func=lambda item: OTHER if (model := proposals[item]) is None else proposal_text(model),
        help="Networks of the catalog, compared with the names and shapes of the file; the best fit first.",
    )
    proposal = proposals[index]
    start = {} if proposal is None else {"key": proposal.key, "params": proposal.params}
    return _draw_model(catalog, start, f"{key}/{index}", errors), proposal


def _pretrained(entry: CatalogEntry) -> dict[str, Any]:
    """Return the parameters with which the network has its published weights; none where there are none."""
    return {param.name: True for param in entry.params if param.name == "pretrained"}


def _draw_model(
    catalog: Catalog,
    start: Mapping[str, Any],
    key: str,
    errors: FieldErrors,
    keys: Sequence[str] | set[str] | None = None,
) -> dict[str, Any]:
    return component(
        catalog,
        "model",
        start,
        label="Network",
        key=f"{key}/model",
        at="/model",
        errors=errors,
        usable=lambda entry: keys is None or entry.key in keys,
    )


def _draw_loading(found: Inspection, proposal: FittingModel | None, key: str, errors: FieldErrors) -> dict[str, Any]:
    """Draw which weights of the file to load, and whether all have to fit."""
    fields: dict[str, Any] = {}
    if len(found.parts) > 1:
        keys = [None, *(part.key for part in found.parts)]
        fields["weights_key"] = st.selectbox(
            "Part of the file",
            keys,
            key=f"{key}/weights-key",
            persist_state="page",
            format_func=lambda item: "the one that fits best" if item is None else item or "top level",
        )
        errors.show("/weights_key")
    if proposal is not None:
        show_misfits(proposal.misfits)
    if proposal is None or not proposal.complete:
        fields["partial"] = st.checkbox(
            "Load what fits",
            key=f"{key}/partial",
            persist_state="page",
            help="Weights that do not fit stay random, and the run says which. Off: the import fails and lists them.",
        )
        errors.show("/partial")
    return fields


def _draw_evaluations(
    catalog: Catalog, dataset: CatalogEntry | None, key: str, errors: FieldErrors
) -> list[dict[str, Any]]:
    presets = {
        ACCURACY_ALONE: [],
        AS_A_LAUNCH: [item.model_dump() for item in RunSpec().evaluations],
        ALL: [{"key": entry.key} for entry in catalog.entries("evaluation") if _runs_alone(entry, dataset)],
    }
    preset = st.segmented_control(
        "Begin with",
        list(presets),
        default=ACCURACY_ALONE,
        required=True,
        key=f"{key}/preset",
    )
    form = FormContext(catalog, {"evaluations": presets[preset]}, f"{key}/{preset}", errors)
    return draw_evaluations(form, dataset, "/evaluations")


def _runs_alone(entry: CatalogEntry, dataset: CatalogEntry | None) -> bool:
    """Return whether the evaluation runs on this data set with the default parameters."""
    return applicable(entry, dataset) and all(param.default is not None or param.optional for param in entry.params)


def _draw_labels(key: str, errors: FieldErrors) -> dict[str, Any]:
    experiments = {item.id: item for item in api().experiments(limit=EXPERIMENTS).items}
    source = st.text_input(
        "Source",
        key=f"{key}/source",
        persist_state="page",
        max_chars=2000,
        placeholder="paper, address, or who trained it",
    )
    errors.show("/source")
    experiment_cell, name_cell = st.columns(2)
    with experiment_cell:
        experiment = st.selectbox(
            "Experiment",
            [None, *experiments],
            key=f"{key}/experiment",
            persist_state="page",
            format_func=lambda item: "a new one" if item is None else f"{item}: {experiments[item].name}",
            help="Runs of one experiment stand together on Compare.",
        )
        errors.show("/experiment")
    with name_cell:
        name = None
        if experiment is None:
            name = st.text_input(
                "Name of the experiment",
                key=f"{key}/name",
                persist_state="page",
                max_chars=200,
                placeholder="the file's",
            )
        errors.show("/name")
    return {"source": source, "experiment": experiment, "name": name or None}


def _draw_training(catalog: Catalog, key: str, errors: FieldErrors) -> dict[str, Any]:
    """Draw what is known of the model's training, folded."""
    with st.expander("λ of its training, if known", key=f"{key}/known-training"):
        lambda_ = st.number_input(
            "λ (penalty weight)",
            0.0,
            1e6,
            None,
            format="%g",
            key=f"{key}/lambda",
            persist_state="page",
            placeholder="not known",
            help="With it the model is a point of charts over λ. Empty: it stands beside them.",
        )
        errors.show("/lambda_")
        regularizer = None
        if lambda_ is not None:
            regularizer = component(
                catalog,
                "regularizer",
                {},
                label="Regularizer",
                key=f"{key}/regularizer",
                at="/regularizer",
                errors=errors,
            )
    return {"lambda_": lambda_, "regularizer": regularizer}
