"""Add seeds or λ to an experiment: the new runs and their price are shown before the click."""

from collections.abc import Sequence

import streamlit as st

from densitylab.backend.shared.contracts import (
    AddedGroup,
    Experiment,
    Origin,
    Preflight,
    Run,
    RunsPreflight,
    RunsRequest,
)
from densitylab.frontend.analysis.formatting import counted, escaped
from densitylab.frontend.ui.api import api, catalog, show_api_errors
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.price import EVALUATION_BASIS, memory_text, queue_text, time_text
from densitylab.frontend.ui.status import flash
from densitylab.frontend.ui.widgets import number_list, numbers_text

_SEEDS, _LAMBDAS = "Seeds", "λ"


@fragment()
def show_adding(experiment: Experiment, runs: Sequence[Run]) -> None:
    """Draw the popover that adds seeds or λ, and its content while it is open."""
    trained = [run for run in runs if run.origin is Origin.TRAINED]
    popover = st.popover("Add seeds or λ", icon=":material/add:", disabled=not trained, key="adding", on_change="rerun")
    if not popover.open or not trained:
        return
    with popover:
        errors = FieldErrors()
        request, price = _draw_request(trained, errors), None
        if request is not None:
            with show_api_errors(errors):
                price = api().preflight_runs(experiment.id, request)
        if request is None or price is None:
            return
        _draw_price(price)
        if st.button(
            f"Add {counted(price.cost.runs, 'run')}",
            icon=":material/add:",
            type="primary",
            disabled=not price.cost.runs or not price.cost.launchable,
        ):
            with show_api_errors(errors):
                answer = api().add_runs(experiment.id, request)
                flash(f"Added {counted(len(answer.added), 'run')}.")
                st.rerun()


def _draw_request(trained: Sequence[Run], errors: FieldErrors) -> RunsRequest | None:
    """Draw the choice between seeds and λ and its values; return the request, None while it cannot be read."""
    kind = st.segmented_control("Add", [_SEEDS, _LAMBDAS], default=_SEEDS, required=True, key="adding/kind")
    next_seed = max(run.spec.seed for run in trained) + 1
    if kind == _SEEDS:
        values = number_list(
            "More seeds", [next_seed], key=f"adding/seeds/{next_seed}", kind=int, at="/seeds", errors=errors
        )
        errors.show("/seeds")
        st.caption("Every regularizer and every λ of the experiment is trained with each new seed.")
    else:
        largest = max(run.spec.lambda_ for run in trained)
        values = number_list(
            "More λ", [10 * largest or 0.1], key=f"adding/lambdas/{largest}", at="/lambdas", errors=errors
        )
        errors.show("/lambdas")
        st.caption("Each new λ is trained with all seeds, of the regularizers whose λ varies, or of all if none does.")
    if values is None:
        return None
    with errors.of_contract():
        chosen = {"seeds": values} if kind == _SEEDS else {"lambdas": values}
        return RunsRequest.model_validate({**chosen, "duplicates": "skip"})
    return None


def _draw_price(price: RunsPreflight) -> None:
    lines = [f"- {_group_text(group)}" for group in price.added]
    st.markdown("\n".join([f"**{counted(price.cost.runs, 'new run')}**", "", *lines]))
    if price.skipped:
        st.caption(f"{counted(len(price.skipped), 'run')} of these exist already and are not trained again.")
    if price.added:
        st.markdown(
            _cost_text(price.cost), help=f"{price.cost.basis_text} {EVALUATION_BASIS[price.cost.evaluation_basis]}"
        )
        st.caption(f"{queue_text(price.cost)} · {escaped(price.cost.basis_text)}")
    for data in price.cost.data:
        if data.status == "absent":
            st.error(f"The data set {escaped(data.key)} is not prepared.", icon=":material/cloud_off:")


def _group_text(group: AddedGroup) -> str:
    seeds = f"seed{'' if len(group.seeds) == 1 else 's'} {numbers_text(group.seeds)}"
    label = escaped(catalog().label("regularizer", group.regularizer))
    return f"{label}, λ = {numbers_text([group.lambda_])}: {seeds} ({counted(group.runs, 'run')})"


def _cost_text(cost: Preflight) -> str:
    return (
        f"Training {time_text(cost.seconds)} · evaluations {time_text(cost.evaluation_seconds)} · "
        f"tensors per run {memory_text(cost)}"
    )
