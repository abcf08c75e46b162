"""The form that starts another evaluation of a trained run."""

import streamlit as st

from densitylab.backend.shared.contracts import CatalogEntry, EvaluationSpec, Run
from densitylab.frontend.ui.api import api, catalog, show_api_errors
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.status import flash
from densitylab.frontend.ui.widgets import component


def applicable(entry: CatalogEntry, dataset: CatalogEntry | None) -> bool:
    """Return whether the data set has what the evaluation needs: masks, groups, corruptions; an unknown one may."""
    return dataset is None or (
        (dataset.has_mask or not entry.needs_mask)
        and (dataset.has_groups or bool(dataset.attributes) or not entry.needs_groups)
        and (dataset.has_corruptions or not entry.needs_corruptions)
    )


@fragment()
def show_evaluation_form(run: Run) -> None:
    """Draw the applicable evaluations with their settings; an API error appears beside its field."""
    with st.expander("Add an evaluation", icon=":material/add_chart:", key="add-evaluation"):
        if run.checkpoint_step is None:
            st.caption("Evaluations can start once the run has a checkpoint.")
            return
        errors = FieldErrors()
        dataset = catalog().entry("dataset", run.spec.dataset.key)
        chosen = component(
            catalog(),
            "evaluation",
            {},
            label="Evaluation",
            key="evaluation",
            at="",
            errors=errors,
            usable=lambda entry: applicable(entry, dataset),
            dataset=dataset,
        )
        name = st.text_input(
            "Name",
            key="evaluation/name",
            persist_state="page",
            placeholder="automatic",
            help="Prefix of the results: lower-case letters, digits and underscores. Automatic: the evaluation's key, "
            "numbered if the run has it already.",
        )
        errors.show("/name")
        split = st.segmented_control(
            "Images",
            ["test", "validation"],
            default="test",
            required=True,
            key="evaluation/split",
            help="Results on validation images serve to select λ, an epoch or a method.",
        )
        errors.show("/split")
        if st.button("Evaluate", type="primary", icon=":material/straighten:", key="evaluation/start"):
            with show_api_errors(errors):
                answer = api().evaluate(
                    run.id, EvaluationSpec.model_validate({"name": name or None, "split": split, **chosen})
                )
                flash(
                    f"{answer.name} has been evaluated already." if answer.status.final else f"{answer.name} is queued."
                )
                st.rerun()
