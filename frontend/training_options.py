"""The launch form's advanced part: how the weights are trained, and how it is computed."""

from typing import Any

import streamlit as st

from backend.shared.contracts import CatalogEntry
from frontend.catalog import Catalog
from frontend.widgets import FieldErrors, component

_SAMPLINGS = {
    "shuffled": "each image once, shuffled", "class_balanced": "classes weigh the same",
    "group_balanced": "groups weigh the same",
}
_PRECISIONS = {
    "auto": "as suits the device", "float32": "float32", "bfloat16": "bfloat16 autocast",
    "float16": "float16 autocast, scaled loss",
}
_WATCHED = {"validation_cross_entropy": "validation cross-entropy", "validation_accuracy": "validation accuracy"}


def draw_training_options(
    offered: Catalog, spec: dict[str, Any], dataset: CatalogEntry | None, key: str, errors: FieldErrors
) -> dict[str, Any]:
    """Draws the fields of a spec that most launches leave as they are; gives them by name.

    Args:
        offered: the catalog.
        spec: with every field, as the form begins.
        dataset: the one that is chosen above.
        key: of the widgets.
        errors: what the API found wrong, shown beside its field.
    """
    st.markdown("**Images**")
    images = _draw_images(offered, spec, dataset, key, errors)
    st.markdown("**Weights**")
    weights = _draw_weights(offered, spec, key, errors)
    st.markdown("**Arithmetic**")
    return {**images, **weights, **_draw_arithmetic(spec, key, errors)}


def _draw_images(
    offered: Catalog, spec: dict[str, Any], dataset: CatalogEntry | None, key: str, errors: FieldErrors
) -> dict[str, Any]:
    augmentation_cell, sampling_cell, samples_cell = st.columns([3, 2, 2])
    with augmentation_cell:
        suited = offered.label("augmentation", dataset.augmentation) if dataset else "none"
        augmentation = None
        if st.checkbox("Choose the augmentation", spec["augmentation"] is not None, key=f"{key}/augment",
                       help=f"Otherwise the one that suits the data set is taken: {suited}."):
            given = spec["augmentation"] or {"key": dataset.augmentation if dataset else "none"}
            augmentation = component(offered, "augmentation", given, label="Augmentation", key=f"{key}/augmentation",
                                     at="/spec/augmentation", errors=errors)
    with sampling_cell:
        samplings = [name for name in _SAMPLINGS if name != "group_balanced" or dataset is None or dataset.has_groups]
        given = spec["sampling"] if spec["sampling"] in samplings else "shuffled"
        sampling = st.selectbox(
            "Sampling", samplings, samplings.index(given), key=f"{key}/sampling", format_func=_SAMPLINGS.__getitem__,
            help="Balanced: an epoch draws as many images as there are, with replacement, so that every class (or "
                 "group) is as likely. Groups need a data set that has them.",
        )
        errors.show("/spec/sampling")
    with samples_cell:
        samples = st.number_input(
            "Training images", 1, dataset.train_size if dataset and dataset.train_size else None,
            spec["train_samples"], key=f"{key}/samples", placeholder="all of them",
            help="Train on the first n alone. Empty: all.",
        )
        errors.show("/spec/train_samples")
    return {"augmentation": augmentation, "sampling": sampling, "train_samples": samples}


def _draw_weights(offered: Catalog, spec: dict[str, Any], key: str, errors: FieldErrors) -> dict[str, Any]:
    schedule_cell, clip_cell, average_cell = st.columns([3, 2, 2])
    with schedule_cell:
        lr_schedule = component(offered, "lr_schedule", spec["lr_schedule"], label="Schedule of the learning rate",
                                key=f"{key}/lr_schedule", at="/spec/lr_schedule", errors=errors)
    with clip_cell:
        clip = st.number_input(
            "Gradient clipping", 0.0, 1e6, spec["gradient_clip"], step=0.1, format="%g", key=f"{key}/clip",
            placeholder="none", help="Largest L2 norm of the loss's gradient by all weights; a longer one is scaled "
                                     "down to it. The norm before that is a curve of the run. Empty: no bound.",
        )
        errors.show("/spec/gradient_clip")
    with average_cell:
        decay = st.number_input(
            "Weight averaging (EMA decay)", 0.0, 0.999999, spec["ema_decay"], step=0.001, format="%g",
            key=f"{key}/ema", placeholder="none",
            help="Keeps a running mean of the weights, and validates, measures and stores that: 0.999 remembers about "
                 "the last thousand steps. Empty: the weights themselves.",
        )
        errors.show("/spec/ema_decay")
    patience_cell, watched_cell = st.columns([3, 4])
    given = spec["early_stop"] or {}
    with patience_cell:
        patience = st.number_input(
            "Early stop after", 1, 10_000, given.get("patience"), key=f"{key}/patience", placeholder="never",
            help="Epochs without a better value on the validation images. The run then ends, and keeps the weights of "
                 "its best epoch. Empty: every epoch is trained, and the last weights are kept.",
        )
    early_stop = None
    with watched_cell:
        if patience is not None:
            names = list(_WATCHED)
            metric = st.selectbox(
                "What early stop watches", names, names.index(given.get("metric", names[0])), key=f"{key}/watched",
                format_func=_WATCHED.__getitem__,
            )
            early_stop = {"patience": patience, "metric": metric}
    errors.show("/spec/early_stop")
    return {"lr_schedule": lr_schedule, "gradient_clip": clip, "ema_decay": decay, "early_stop": early_stop}


def _draw_arithmetic(spec: dict[str, Any], key: str, errors: FieldErrors) -> dict[str, Any]:
    precision_cell, device_cell, switches_cell = st.columns([3, 2, 2])
    with precision_cell:
        names = list(_PRECISIONS)
        precision = st.selectbox(
            "Precision", names, names.index(spec["precision"]), key=f"{key}/precision",
            format_func=_PRECISIONS.__getitem__,
            help="Of the passes through the network. Penalties are float32 in all of them, and the estimators by "
                 "finite differences and random projection are computed in float32 throughout.",
        )
        errors.show("/spec/precision")
    with device_cell:
        device = st.text_input("Device", spec["device"], key=f"{key}/device", help="auto, cpu, cuda or cuda:1")
        errors.show("/spec/device")
    with switches_cell:
        compiled = st.checkbox(
            "Compile the model", spec["compile"], key=f"{key}/compile",
            help="By torch.compile: begins later, then steps are faster. It cannot be had with a penalty by double "
                 "backward. A worker without a compiler goes on uncompiled and says so in the log.",
        )
        errors.show("/spec/compile")
        deterministic = st.checkbox(
            "Deterministic kernels", spec["deterministic"], key=f"{key}/deterministic",
            help="The same bits at every repeat, also on a GPU, where it is slower. The CPU gives them anyway.",
        )
        errors.show("/spec/deterministic")
    return {"precision": precision, "device": device, "compile": compiled, "deterministic": deterministic}
