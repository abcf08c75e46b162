"""Advanced options of the launch form: the targets and weights of the loss, and what saves memory."""

from typing import Any

import streamlit as st

from densitylab.frontend.launch_form.context import FormContext
from densitylab.frontend.ui.number_field import number_field

_CLASS_WEIGHTS = {"none": "all classes alike", "balanced": "balanced, by number of images"}


def draw_loss(form: FormContext) -> dict[str, Any]:
    """Draw label smoothing and class weights; return them by name."""
    smoothing_cell, weights_cell, _ = st.columns([3, 2, 2])
    with smoothing_cell:
        smoothing = number_field(
            "Label smoothing",
            form.spec["label_smoothing"],
            step=0.05,
            key=f"{form.key}/label_smoothing",
            help="Share of the target that is spread evenly over all classes; 0.1 is usual, 0 is none. Also in "
            "penalties that are differences of cross-entropies, such as adversarial training.",
        )
        form.errors.show("/spec/label_smoothing")
    with weights_cell:
        names = list(_CLASS_WEIGHTS)
        weights = st.selectbox(
            "Class weights",
            names,
            names.index(form.spec["class_weights"]),
            key=f"{form.key}/class_weights",
            persist_state="page",
            format_func=_CLASS_WEIGHTS.__getitem__,
            help="Balanced: an image counts in the loss by the inverse of its class's number of training images. "
            "Class-balanced sampling reaches the same balance by drawing images; use one of them.",
        )
        form.errors.show("/spec/class_weights")
    return {"label_smoothing": smoothing, "class_weights": weights}


def draw_memory(form: FormContext) -> dict[str, Any]:
    """Draw gradient accumulation and activation checkpointing; return them by name."""
    parts_cell, switch_cell = st.columns([3, 4], vertical_alignment="bottom")
    with parts_cell:
        parts = number_field(
            "Gradient accumulation: parts of a batch",
            form.spec["gradient_accumulation"],
            key=f"{form.key}/gradient_accumulation",
            whole=True,
            help="Each batch is computed in this many parts whose gradients are added, so that a part alone must fit "
            "into memory. The steps are the same, but batch norm sees one part at a time.",
        )
        form.errors.show("/spec/gradient_accumulation")
    with switch_cell:
        checkpointing = st.checkbox(
            "Activation checkpointing",
            form.spec["activation_checkpointing"],
            key=f"{form.key}/activation_checkpointing",
            persist_state="page",
            help="Repeated blocks keep their input alone and are computed again in each backward pass: less memory, "
            "about a third more time, the same results. Not together with compilation.",
        )
        form.errors.show("/spec/activation_checkpointing")
    return {"gradient_accumulation": parts, "activation_checkpointing": checkpointing}
