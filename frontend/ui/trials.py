"""The trials of a search with Optuna: chart, table, and the study as a file."""

import functools
from typing import Any

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts import SearchProgress
from densitylab.frontend.analysis.formatting import number, ranges
from densitylab.frontend.charts.trials import parameter_name, parameter_value, trials_chart
from densitylab.frontend.ui.api import api
from densitylab.frontend.ui.live_chart import live_chart


def show_trials(experiment: int, search: SearchProgress) -> None:
    """Draw the trials."""
    several = len(search.objectives) > 1
    figure = trials_chart(search)
    if figure is not None:
        what = "Pareto front of the trials" if several else f"{search.result} of the trials"
        live_chart(figure, key=f"trials-{experiment}", label=what, height=340)
    st.dataframe(_table(search), hide_index=True, key="search-trials")
    front = "On the Pareto front: no other trial is at least as good in all objectives. " if several else ""
    st.caption(f"{front}Means over the seeds on validation images; those of the test images are on the Compare page.")
    st.download_button(
        "Download the study",
        functools.partial(api().search_study, experiment),
        f"experiment-{experiment}-study.sqlite",
        "application/octet-stream",
        key="search-study",
        on_click="ignore",
        icon=":material/download:",
        help="An SQLite file for optuna.load_study and Optuna's dashboard",
    )


def _table(search: SearchProgress) -> pd.DataFrame:
    several = len(search.objectives) > 1
    rows: list[dict[str, Any]] = []
    for item in search.candidates:
        rows.append(
            {
                "Trial": item.number,
                "Pareto front" if several else "Best so far": "yes" if item.best else "",
                "State": item.state,
                **{parameter_name(path): parameter_value(value) for path, value in item.parameters.items()},
                **{
                    f"{goal.result}, validation": number(value)
                    for goal, value in zip(search.objectives, item.values, strict=True)
                },
                "Validation accuracy": number(item.accuracy),
                "Why": item.reason,
                "Runs": ranges(item.runs),
            }
        )
    return pd.DataFrame(rows)
