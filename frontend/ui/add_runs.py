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
    Status,
)
from densitylab.backend.shared.statistics.groups import Group
from densitylab.frontend.analysis.comparison import Comparison, all_runs
from densitylab.frontend.analysis.formatting import counted, escaped
from densitylab.frontend.ui.api import api, catalog, show_api_errors
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.kept_rows import KeptRows
from densitylab.frontend.ui.price import EVALUATION_BASIS, memory_text, queue_text, time_text
from densitylab.frontend.ui.status import flash
from densitylab.frontend.ui.widgets import number_list, numbers_text

_SEEDS, _LAMBDAS = "Seeds", "λ"


@fragment()
def show_adding(experiment: Experiment, comparison: Comparison) -> None:
    """Draw the popover that adds seeds or λ to all groups but those whose runs are all cancelled, and its content while
    it is open."""
    trained = _trained(all_runs(comparison))
    cancelled = [group for group in comparison.groups if all(run.status is Status.CANCELLED for run in group.runs)]
    popover = st.popover(
        "Add seeds or λ",
        icon=":material/add:",
        disabled=not trained or len(cancelled) == len(comparison.groups),
        help="Select groups in the table to add to groups whose runs are all cancelled" if cancelled else None,
        key="adding",
        on_change="rerun",
    )
    if not popover.open or not trained:
        return
    with popover:
        if cancelled:
            st.caption(f"{counted(len(cancelled), 'group')} left out: all runs are cancelled.")
        if _draw_adding(experiment.id, trained, "adding", of_groups=False):
            st.rerun()


@fragment()
def show_adding_to_groups(experiment: Experiment, runs: Sequence[Run], groups: int, table: KeptRows) -> None:
    """Draw the popover that adds seeds or λ to the selected groups of the table, which have these runs, and its content
    while it is open."""
    trained = _trained(runs)
    popover = st.popover(
        f"Add seeds or λ to {counted(groups, 'group')}",
        icon=":material/add:",
        disabled=not trained,
        key="adding-to-groups",
        on_change="rerun",
    )
    if not popover.open or not trained:
        return
    with popover:
        if _draw_adding(experiment.id, trained, "adding-to-groups", of_groups=True):
            table.clear()  # so that the new groups are shown
            st.rerun()


@fragment()
def show_adding_seeds(experiment_id: int, groups: Sequence[Group], seeds: Sequence[int]) -> None:
    """Draw the popover that adds seeds to these groups, at first the given ones, and its content while it is open."""
    popover = st.popover(
        "Add seeds to these λ",
        icon=":material/add:",
        help="To the selected λ and their baselines. The list begins with as many as would decide the differences from "
        "the best and from the baselines, up to 10 in all.",
        key="adding-seeds",
        on_change="rerun",
    )
    if not popover.open:
        return
    with popover:
        runs = {run.id: run for group in groups for run in group.runs}  # methods share their baseline
        trained = _trained([runs[number] for number in sorted(runs)])
        if _draw_adding(experiment_id, trained, "adding-seeds", of_groups=True, seeds=seeds):
            st.rerun()


def _trained(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if run.origin is Origin.TRAINED]


def _draw_adding(
    experiment_id: int, trained: Sequence[Run], key: str, *, of_groups: bool, seeds: Sequence[int] = ()
) -> bool:
    """Draw the choice, the price and the button; return whether runs were added."""
    errors = FieldErrors()
    request, price = _draw_request(trained, key, errors, of_groups=of_groups, seeds=seeds), None
    if request is not None:
        with show_api_errors(errors):
            price = api().preflight_runs(experiment_id, request)
    if request is None or price is None:
        return False
    _draw_price(price)
    if st.button(
        f"Add {counted(price.cost.runs, 'run')}",
        icon=":material/add:",
        type="primary",
        key=f"{key}/add",
        disabled=not price.cost.runs or not price.cost.launchable,
    ):
        with show_api_errors(errors):
            answer = api().add_runs(experiment_id, request)
            flash(f"Added {counted(len(answer.added), 'run')}.")
            return True
    return False


def _draw_request(
    trained: Sequence[Run], key: str, errors: FieldErrors, *, of_groups: bool, seeds: Sequence[int]
) -> RunsRequest | None:
    """Draw the choice between seeds and λ and its values; return the request, None while it cannot be read.

    Args:
        trained: the runs whose seeds or λ are continued.
        key: of the widgets.
        errors: of the request.
        of_groups: whether the configurations of these runs alone are trained, all of which the user has selected.
        seeds: those that the choice begins with; none: the next one.
    """
    kind = st.segmented_control("Add", [_SEEDS, _LAMBDAS], default=_SEEDS, required=True, key=f"{key}/kind")
    if kind == _SEEDS:
        first = list(seeds) or [max(run.spec.seed for run in trained) + 1]
        values = number_list(
            "More seeds", first, key=f"{key}/seeds/{numbers_text(first)}", kind=int, at="/seeds", errors=errors
        )
        errors.show("/seeds")
        st.caption(
            "The selected groups are trained with each new seed. Differences are paired by seed, so that the baseline "
            "needs the same seeds."
            if of_groups
            else "Every regularizer and every λ of the experiment is trained with each new seed."
        )
    else:
        largest = max(run.spec.lambda_ for run in trained)
        values = number_list(
            "More λ", [10 * largest or 0.1], key=f"{key}/lambdas/{largest}", at="/lambdas", errors=errors
        )
        errors.show("/lambdas")
        st.caption(
            "Each new λ is trained with the other settings and the seeds of the selected groups."
            if of_groups
            else "Each new λ is trained with all seeds, of the regularizers whose λ varies, or of all if none does."
        )
    if values is None:
        return None
    with errors.of_contract():
        chosen = {"seeds": values} if kind == _SEEDS else {"lambdas": values}
        runs = {"runs": [run.id for run in trained]} if of_groups else {}
        return RunsRequest.model_validate({**chosen, **runs, "duplicates": "skip"})
    return None


def _draw_price(price: RunsPreflight) -> None:
    lines = [f"- {_group_text(group)}" for group in price.added]
    st.markdown("\n".join([f"**{counted(price.cost.runs, 'new run')}**", "", *lines]))
    if price.skipped:
        st.caption(f"{counted(len(price.skipped), 'run')} with these settings exist already and are not trained again.")
    if price.added:
        st.markdown(
            _cost_text(price.cost), help=f"{price.cost.basis_text}. {EVALUATION_BASIS[price.cost.evaluation_basis]}"
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
