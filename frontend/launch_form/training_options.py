"""The launch form's advanced options: images, weights, loss, memory, and numerical precision."""

from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import CatalogEntry
from densitylab.frontend.launch_form.context import FormContext
from densitylab.frontend.launch_form.loss_and_memory import draw_loss, draw_memory
from densitylab.frontend.ui.number_field import number_field

_SAMPLINGS = {
    "shuffled": "shuffled, each image once",
    "class_balanced": "class-balanced",
    "group_balanced": "group-balanced",
}
_PRECISIONS = {
    "auto": "automatic",
    "float32": "float32",
    "bfloat16": "bfloat16 autocast",
    "float16": "float16 autocast, scaled loss",
}
_STOP_METRICS = {
    "validation_cross_entropy": "validation cross-entropy",
    "validation_accuracy": "validation accuracy",
    "validation_worst_group": "validation worst-group accuracy",
}
TRAINING_OPTIONS = (
    "augmentation",
    "sampling",
    "train_samples",
    "lr_schedule",
    "gradient_clip",
    "ema_decay",
    "early_stop",
    "label_smoothing",
    "class_weights",
    "gradient_accumulation",
    "activation_checkpointing",
    "precision",
    "device",
    "threads",
    "compile",
    "deterministic",
)


def draw_training_options(form: FormContext, dataset: CatalogEntry | None) -> dict[str, Any]:
    """Draw the fields that most launches leave at their defaults; return `TRAINING_OPTIONS` by name."""
    st.markdown("**Images**")
    images = _draw_images(form, dataset)
    st.markdown("**Optimization**")
    weights = _draw_weights(form, dataset)
    st.markdown("**Loss**")
    loss = draw_loss(form)
    st.markdown("**Memory**")
    memory = draw_memory(form)
    st.markdown("**Precision and device**")
    return {**images, **weights, **loss, **memory, **_draw_precision(form)}


def _draw_images(form: FormContext, dataset: CatalogEntry | None) -> dict[str, Any]:
    augmentation_cell, sampling_cell, samples_cell = st.columns([3, 2, 2])
    with augmentation_cell:
        suited = form.catalog.label("augmentation", dataset.augmentation) if dataset else "none"
        augmentation = None
        if st.checkbox(
            "Choose an augmentation",
            form.spec["augmentation"] is not None,
            key=f"{form.key}/augment",
            persist_state="page",
            help=f"Unchecked: the data set's default, {suited}.",
        ):
            start = form.spec["augmentation"] or {"key": dataset.augmentation if dataset else "none"}
            augmentation = form.component("augmentation", "Augmentation", start=start)
    with sampling_cell:
        samplings = [name for name in _SAMPLINGS if name != "group_balanced" or dataset is None or dataset.has_groups]
        given = form.spec["sampling"] if form.spec["sampling"] in samplings else "shuffled"
        sampling = st.selectbox(
            "Sampling",
            samplings,
            samplings.index(given),
            key=f"{form.key}/sampling",
            persist_state="page",
            format_func=_SAMPLINGS.__getitem__,
            help="Balanced: an epoch draws as many images with replacement, each class (or group) with equal "
            "probability. Group balancing needs a data set with groups.",
        )
        form.errors.show("/spec/sampling")
    with samples_cell:
        samples = number_field(
            "Training images",
            form.spec["train_samples"],
            key=f"{form.key}/samples",
            whole=True,
            placeholder="all",
            help="Train on the first n images only. Empty: all.",
        )
        form.errors.show("/spec/train_samples")
    return {"augmentation": augmentation, "sampling": sampling, "train_samples": samples}


def _draw_weights(form: FormContext, dataset: CatalogEntry | None) -> dict[str, Any]:
    schedule_cell, clip_cell, average_cell = st.columns([3, 2, 2])
    with schedule_cell:
        lr_schedule = form.component("lr_schedule", "Learning-rate schedule")
    with clip_cell:
        clip = number_field(
            "Gradient clipping",
            form.spec["gradient_clip"],
            step=0.1,
            key=f"{form.key}/clip",
            placeholder="none",
            help="Maximum L2 norm of the gradient over all weights. The run records the norm before clipping. "
            "Empty: no clipping.",
        )
        form.errors.show("/spec/gradient_clip")
    with average_cell:
        decay = number_field(
            "EMA decay of the weights",
            form.spec["ema_decay"],
            step=0.001,
            key=f"{form.key}/ema",
            placeholder="none",
            help="Validates, evaluates and stores an exponential moving average of the weights. 0.999 averages about "
            "the last 1000 steps. Empty: no averaging.",
        )
        form.errors.show("/spec/ema_decay")
    patience_cell, metric_cell = st.columns([3, 4])
    given = form.spec["early_stop"] or {}
    with patience_cell:
        patience = number_field(
            "Early stopping: patience",
            given.get("patience"),
            key=f"{form.key}/patience",
            whole=True,
            placeholder="never",
            help="Training ends after this many epochs without improvement on the validation split, and keeps the "
            "weights of the best epoch. Empty: all epochs are trained, and the last weights are kept.",
        )
    early_stop = None
    with metric_cell:
        if patience is not None:
            grouped = dataset is None or dataset.has_groups
            names = [name for name in _STOP_METRICS if name != "validation_worst_group" or grouped]
            watched = given.get("metric")
            metric = st.selectbox(
                "Early stopping: metric",
                names,
                names.index(watched) if watched in names else 0,
                key=f"{form.key}/watched",
                persist_state="page",
                format_func=_STOP_METRICS.__getitem__,
            )
            early_stop = {"patience": patience, "metric": metric}
    form.errors.show("/spec/early_stop")
    return {"lr_schedule": lr_schedule, "gradient_clip": clip, "ema_decay": decay, "early_stop": early_stop}


def _draw_precision(form: FormContext) -> dict[str, Any]:
    precision_cell, device_cell, switches_cell = st.columns([3, 2, 2])
    with precision_cell:
        names = list(_PRECISIONS)
        precision = st.selectbox(
            "Precision",
            names,
            names.index(form.spec["precision"]),
            key=f"{form.key}/precision",
            persist_state="page",
            format_func=_PRECISIONS.__getitem__,
            help="Of forward and backward passes. Penalties are always float32; the finite-difference and "
            "random-projection estimators run in float32 throughout.",
        )
        form.errors.show("/spec/precision")
    with device_cell:
        device = st.text_input(
            "Device",
            form.spec["device"],
            key=f"{form.key}/device",
            persist_state="page",
            help="auto, cpu, cuda or cuda:1",
        )
        form.errors.show("/spec/device")
        threads = number_field(
            "CPU threads",
            form.spec["threads"],
            key=f"{form.key}/threads",
            whole=True,
            placeholder="by network size",
            help="Of training, evaluations and maps. Empty: one thread, or two for a network with at least 100 million "
            "multiplications per image. Runs train side by side, so more threads help a single large run. Results "
            "differ in their last digits between numbers of threads.",
        )
        form.errors.show("/spec/threads")
    with switches_cell:
        compiled = st.checkbox(
            "Compile the model",
            form.spec["compile"],
            key=f"{form.key}/compile",
            persist_state="page",
            help="With torch.compile: training starts later, and steps are faster. Not available with double-backward "
            "penalties. A worker without a compiler trains uncompiled and logs it.",
        )
        form.errors.show("/spec/compile")
        deterministic = st.checkbox(
            "Deterministic kernels",
            form.spec["deterministic"],
            key=f"{form.key}/deterministic",
            persist_state="page",
            help="Bitwise reproducible results on a GPU, at lower speed. CPU results are always reproducible.",
        )
        form.errors.show("/spec/deterministic")
    return {
        "precision": precision,
        "device": device,
        "threads": threads,
        "compile": compiled,
        "deterministic": deterministic,
    }
