"""The figures of a study; a clicked point shows links to its runs."""

import functools

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts.studies import StudyReport
from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.charts.study_figure import height, study_figure
from densitylab.frontend.charts.study_layout import PlacedFigure, placed, styles
from densitylab.frontend.ui.api import catalog
from densitylab.frontend.ui.chart_card import chart_card
from densitylab.frontend.ui.studies.run_links import show_run_links


def show_figures(report: StudyReport) -> None:
    """Draw the figures, with one style for each method in all of them."""
    by_label = styles(report.figures, catalog())
    for index, item in enumerate(report.figures):
        figure = placed(item, by_label, catalog())
        st.header(escaped(figure.title))
        chart_card(
            study_figure(figure),
            functools.partial(_numbers, figure),
            key=f"study-figure-{index}",
            label=f"{figure.title}: {figure.y_label} against {figure.x_label}, by method",
            height=height(figure),
            opens=lambda runs: show_run_links("Selected point", [int(run) for run in str(runs).split(",")]),
            linked=False,
        )
    if report.figures:
        st.caption(
            "Means over seeds with 95 % intervals; a line joins the λ, or the settings, of one method. Click a point "
            "for its runs and images."
        )


def _numbers(figure: PlacedFigure) -> pd.DataFrame:
    """Return a row per point."""
    where = dict(figure.ticks)
    return pd.DataFrame(
        [
            {
                "panel": panel.label,
                "method": line.label,
                "λ": point.lambda_,
                figure.x_label: where.get(point.x.mean, point.x.mean),
                **{f"{figure.y_label} {name}": getattr(point.y, name) for name in ("mean", "low", "high")},
                "n": point.y.n,
                "runs": ", ".join(map(str, point.runs)),
            }
            for panel in figure.panels
            for line in panel.lines
            for point in line.points
        ]
    )
