"""The launch form's choice of evaluations."""

from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import CatalogEntry
from densitylab.frontend.launch_form.context import FormContext
from densitylab.frontend.launch_form.evaluation_form import applicable
from densitylab.frontend.ui.widgets import parameters


def draw_evaluations(
    form: FormContext, dataset: CatalogEntry | None, field: str = "/spec/evaluations"
) -> list[dict[str, Any]]:
    """Draw the evaluations that the data set allows; return the chosen ones as {key, params}, followed by those on
    validation images, which have a split. `field` is the JSON pointer of their list in the request."""
    entries = [entry for entry in form.catalog.entries("evaluation") if applicable(entry, dataset)]
    given = {item["key"]: item.get("params", {}) for item in form.spec["evaluations"]}
    picked = st.multiselect(
        "Evaluations",
        entries,
        [entry for entry in entries if entry.key in given],
        key=f"{form.key}/evaluations",
        persist_state="page",
        format_func=lambda entry: entry.label,
        help="They run once the model is there. Test accuracy is always evaluated.",
    )
    chosen = []
    for index, entry in enumerate(picked):
        at = f"{field}/{index}"
        params: dict[str, Any] = {}
        if entry.params:
            with st.expander(f"{entry.label}: settings"):
                st.caption(entry.summary)
                params = parameters(
                    form.catalog,
                    entry,
                    given.get(entry.key, {}),
                    key=f"{form.key}/evaluations/{entry.key}",
                    at=f"{at}/params",
                    errors=form.errors,
                    dataset=dataset,
                )
        form.errors.show(at)
        chosen.append({"key": entry.key, "params": params})
    again = st.toggle(
        "On validation images too",
        any(item.get("split") == "validation" for item in form.spec["evaluations"]),
        key=f"{form.key}/validation",
        persist_state="page",
        help="Then λ is selected by these results on validation images, and test images stay unseen until the end. "
        "Takes as long again.",
    )
    if again:
        kept = [item for item, entry in zip(chosen, picked, strict=True) if not entry.needs_corruptions]
        chosen += [{**item, "split": "validation"} for item in [{"key": "accuracy", "params": {}}, *kept]]
    return chosen
