"""The search of an experiment: what it tried, what comes next, and why."""

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts import SearchProgress
from densitylab.frontend.analysis.formatting import counted, escaped, number, ranges, readable
from densitylab.frontend.client.durations import duration
from densitylab.frontend.ui.api import api, catalog, show_api_errors
from densitylab.frontend.ui.status import flash
from densitylab.frontend.ui.trials import show_trials


def show_search(experiment: int) -> None:
    """Draw the search."""
    search = api().search(experiment)
    optuna = search.kind == "optuna"
    st.header("Search with Optuna" if optuna else "Search for λ")
    facts = [f"**{search.status.capitalize()}**", escaped(search.reason)]
    facts.append(f"{counted(search.runs, 'run')} of at most {search.max_runs}")
    if search.max_seconds_left:
        facts.append(f"at most {duration(search.max_seconds_left)} more at the pace so far")
    if search.accuracy_budget is not None:
        facts.append(f"accuracy budget {100 * search.accuracy_budget:g} points")
    st.markdown(" · ".join(facts))
    for method in search.methods:
        name = _name(method.settings)
        nexts = f" Next: λ = {', '.join(f'{value:g}' for value in method.next)}." if method.next else ""
        st.markdown(f"- {f'{escaped(name)}: ' if name else ''}{escaped(method.reason)}{nexts}")
    if optuna:
        show_trials(experiment, search)
    else:
        _show_candidates(search)
    if search.status == "running" and st.button("Stop the search", icon=":material/stop:", key="stop-search"):
        with show_api_errors():
            api().stop_search(experiment)
            flash("The search is stopped; its runs go on.")
            st.rerun()


def _show_candidates(search: SearchProgress) -> None:
    st.dataframe(_table(search), hide_index=True, key="search-candidates")
    st.caption(
        f"Means over the seeds on validation images. Baseline accuracy: {number(search.baseline_accuracy)}. "
        "The selected λ with its test results is on the Compare page."
    )


def _table(search: SearchProgress) -> pd.DataFrame:
    within = {True: "yes", False: "no", None: "not known yet"}
    rows = [
        {
            "Method": _name(item.settings),
            "λ": f"{item.lambda_:g}",
            "Validation accuracy": number(item.accuracy),
            "Within the budget": within[item.within_budget],
            f"{search.result}, validation": number(item.value),
            "Best so far": "yes" if item.best else "",
            "Runs": ranges(item.runs),
        }
        for item in search.candidates
    ]
    table = pd.DataFrame(rows)
    return table.drop(columns="Method") if rows and not any(table["Method"]) else table


def _name(settings: dict[str, object]) -> str:
    parts = []
    for name, value in settings.items():
        kind = name.partition(".")[0]
        shown = catalog().label(kind, str(value)) if name.endswith(".key") else str(value)
        parts.append(shown if name.endswith(".key") else f"{readable(name.rpartition('.')[2])} {shown}")
    return ", ".join(parts)
