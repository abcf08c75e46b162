"""Assignment of the network's outputs to the classes of the data set."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts import Inspection
from densitylab.frontend.ui.field_errors import FieldErrors, problem

SAME, BY_NAMES, BY_TABLE = "the data set's order", "by the names of the outputs", "by a table"


@dataclass(frozen=True)
class Classes:
    """The fields of an import that say what the outputs mean."""

    outputs: int | None = None
    class_names: list[str] | None = None
    class_order: list[int] | None = None


def draw_classes(found: Inspection | None, classes: Sequence[str], key: str, errors: FieldErrors) -> Classes | None:
    """Draw the choice of the class order; return it, or None while it cannot be read.

    Args:
        found: the inspected file; None: published weights.
        classes: names of the data set's classes, in the order of the labels.
        key: prefix of the widgets' keys.
        errors: of the API.
    """
    outputs = len(classes) if found is None or found.outputs is None else found.outputs
    named = found is not None and bool(found.class_names)
    proposed = found.class_order if found is not None else None
    start = SAME
    if named and proposed is not None:
        start = BY_NAMES
    elif outputs != len(classes) or named:
        start = BY_TABLE
    options = [SAME, BY_NAMES, BY_TABLE] if outputs == len(classes) else [BY_NAMES, BY_TABLE]
    if found is None:  # the number of its outputs is not known
        options.remove(BY_TABLE)
    how = st.radio(
        "Order of the classes",
        options,
        options.index(start),
        key=f"{key}/classes",
        persist_state="page",
        horizontal=True,
        help="Which output of the network belongs to which class of the data set.",
    )
    errors.show("/outputs", "/interface/outputs")
    if how == SAME:
        return Classes()
    if how == BY_NAMES:
        return _by_names(found, outputs, key, errors)
    return _by_table(found, outputs, classes, proposed, key, errors)


def _by_names(found: Inspection | None, outputs: int, key: str, errors: FieldErrors) -> Classes | None:
    text = st.text_area(
        f"Names of the {'' if found is None else f'{outputs} '}outputs, in order, one on a line",
        "\n".join(found.class_names) if found is not None else "",
        key=f"{key}/class-names",
        persist_state="page",
        height=120,
        help="The classes of the data set are found among them; upper and lower case, spaces and hyphens do not count.",
    )
    errors.show("/class_names")
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if len(names) < 2:
        problem("write the name of each output on a line of its own")
        return None
    return Classes(class_names=names)


def _by_table(
    found: Inspection | None,
    outputs: int,
    classes: Sequence[str],
    proposed: Sequence[int] | None,
    key: str,
    errors: FieldErrors,
) -> Classes | None:
    names = found.class_names if found is not None and len(found.class_names) == outputs else []
    labels = [f"{index}: {names[index]}" if names else str(index) for index in range(outputs)]
    start = list(proposed) if proposed is not None else list(range(len(classes)))
    table = st.data_editor(
        pd.DataFrame({"Class": classes, "Output": [labels[index] if index < outputs else None for index in start]}),
        hide_index=True,
        disabled=["Class"],
        key=f"{key}/class-table",
        column_config={"Output": st.column_config.SelectboxColumn(options=labels, required=True)},
        height=min(37 + 35 * len(classes), 420),
    )
    errors.show("/class_order")
    chosen = [labels.index(text) if text in labels else None for text in table["Output"]]
    order = [index for index in chosen if index is not None]
    if len(order) < len(chosen):
        problem("choose an output for each class")
        return None
    twice = sorted({index for index in order if order.count(index) > 1})
    if twice:
        problem(f"output {twice[0]} is chosen for several classes; each class needs an output of its own")
        return None
    return Classes(outputs=outputs, class_order=order)
