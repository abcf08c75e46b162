"""The choice of an experiment, a method and a seed: the runs of the λ slider."""

from collections.abc import Sequence

import streamlit as st

from densitylab.backend.shared.contracts import Experiment, Run, Status
from densitylab.frontend.analysis.comparison import Family, compare
from densitylab.frontend.analysis.formatting import labels_of, number
from densitylab.frontend.maps.view import RunColumn
from densitylab.frontend.ui.api import api, catalog
from densitylab.frontend.ui.experiment_results import cached_runs
from densitylab.frontend.ui.query_params import query_int

LISTED, SEARCHED = 200, 5  # newest experiments: in the list, and for the first choice
_EPSILON = 0.03


def choose_runs_over_lambda() -> tuple[list[Run], list[RunColumn]]:
    """Draw the choice in the sidebar; return one run for each λ of a method, in order of λ, with their labels. Stop the
    page where there is none."""
    experiments = {item.id: item for item in api().experiments(has_model=True, limit=LISTED).items}
    linked = query_int("experiment")
    if linked is not None and linked not in experiments:
        experiments[linked] = api().experiment(linked)
    if not experiments:
        st.info("No trained run yet. The demo on the home page trains three λ.", icon=":material/lightbulb:")
        st.page_link("app_pages/home.py", label="Home", icon=":material/home:")
        st.stop()
    experiment = st.sidebar.selectbox(
        "Experiment",
        list(experiments),
        key=in_link("experiment", linked or _first_with_slider(list(experiments.values()))),
        format_func=lambda item: f"{item}: {experiments[item].name}",
        on_change=write_link,
        args=("experiment",),
    )
    families = _families(cached_runs(experiments[experiment]))
    if not families:
        st.info(
            "The slider needs at least two trained runs that differ in λ: this experiment has none yet.",
            icon=":material/hourglass_empty:",
        )
        st.stop()
    label = st.sidebar.selectbox("Method", list(families)) if len(families) > 1 else next(iter(families))
    by_seed = families[label]
    seed = st.sidebar.selectbox("Seed", sorted(by_seed)) if len(by_seed) > 1 else next(iter(by_seed))
    chosen = by_seed[seed]
    return chosen, [RunColumn(run.id, f"λ {run.spec.lambda_:.4g}", "") for run in chosen]


def _first_with_slider(experiments: Sequence[Experiment]) -> int:
    """Return the newest experiment whose runs the slider can show, of the newest few; else the newest."""
    few = experiments[:SEARCHED]
    return next((item.id for item in few if _families(cached_runs(item))), experiments[0].id)


def in_link(name: str, value: int) -> str:
    """Return the key of the widget of a link's field, and give the widget the field's value."""
    st.session_state[f"lambda_{name}"] = value
    return f"lambda_{name}"


def write_link(name: str) -> None:
    """Write what a widget has into the link's field; the page takes it from there."""
    st.query_params[name] = str(st.session_state[f"lambda_{name}"])


def _families(runs: Sequence[Run]) -> dict[str, dict[int, list[Run]]]:
    """Return the trained runs by method and seed, in order of λ; those with at least two."""
    found: dict[str, dict[int, list[Run]]] = {}
    for family in compare(runs, catalog()).families:
        by_seed: dict[int, list[Run]] = {}
        for run in _trained(family):
            by_seed.setdefault(run.spec.seed, []).append(run)
        found[family.label] = {
            seed: sorted(items, key=lambda run: run.spec.lambda_) for seed, items in by_seed.items() if len(items) > 1
        }
    return {label: by_seed for label, by_seed in found.items() if by_seed}


def _trained(family: Family) -> list[Run]:
    groups = [*([family.origin] if family.origin else []), *family.groups]
    runs = {run.id: run for group in groups for run in group.runs if run.status is Status.SUCCEEDED}
    return list(runs.values())


def results_text(run: Run) -> str:
    """Return the headline results of a run on test images, in a line."""
    labels = labels_of(run, catalog())
    shown = [name for name in catalog().headlines() if name in run.results]
    return " · ".join(f"{labels[name]}: {number(run.results[name].value)}" for name in shown)


def attacked_with(run: Run) -> float:
    """Return the first ε of an L∞ attack, one of at most 1, that evaluated the run; 0.03 where there is none."""
    for item in run.evaluations:
        entry = catalog().entry("evaluation", item.key)
        in_linf = entry is not None and any(param.name == "epsilons" and param.maximum == 1 for param in entry.params)
        if in_linf and item.params.get("epsilons"):
            return float(item.params["epsilons"][0])
    return _EPSILON
