"""The results of one run: a table, charts with their warnings, and the test images behind a point."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts import CatalogPlot, Evaluation, Run, Status, Value
from densitylab.frontend.analysis.colors import PALETTE
from densitylab.frontend.analysis.formatting import escaped, number, readable, result_label, status_text
from densitylab.frontend.analysis.group_names import group_names, with_group_name
from densitylab.frontend.charts.results import (
    Spread,
    curve_table,
    description,
    draw,
    images_link,
    plots_by_title,
    spread_of,
    spread_table,
    trace_label,
    traces,
    violins,
)
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.client.durations import duration
from densitylab.frontend.ui.api import api, show_api_errors
from densitylab.frontend.ui.cached_arrays import cached_sample_arrays
from densitylab.frontend.ui.chart_card import chart_card, downloads
from densitylab.frontend.ui.folded import folded
from densitylab.frontend.ui.sample_drilldown import LINK, show_images
from densitylab.frontend.ui.status import flash
from densitylab.frontend.ui.wrapped_table import wrapped_table

Sharing = Sequence[tuple[Evaluation, CatalogPlot]]  # the evaluations that share a chart


def show_results(run: Run, evaluations: Sequence[Evaluation], catalog: Catalog) -> None:
    st.header("Results")
    if not evaluations:
        st.info("No evaluations yet.", icon=":material/straighten:")
        return
    wrapped_table(pd.DataFrame(_rows(run, evaluations, catalog)))
    downloads(lambda: result_table(evaluations), f"run-{run.id}-results")
    if run.status.final:
        _show_waiting(evaluations)
    for item in evaluations:
        if item.error:
            st.error(f"**{escaped(item.name)} {item.status.value}:** {escaped(item.error)}", icon=":material/error:")
    _show_charts(run, evaluations, catalog)
    settings = {
        item.name: {"evaluation": item.key, "split": item.split, **item.params, "provenance": item.provenance}
        for item in evaluations
    }
    folded("Evaluation settings and provenance", lambda: st.json(settings), key="evaluation-settings")


def result_table(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """Return a row per value as the API gives it, with the flags of its evaluation."""
    return pd.DataFrame(
        [
            {
                "evaluation": item.name,
                "key": item.key,
                "split": item.split,
                "result": name,
                "value": value.value,
                "low": value.low,
                "high": value.high,
                "n": value.n,
                "higher_is_better": value.higher_is_better,
                "flags": " ".join(flag.key for flag in item.flags),
                "seconds": item.seconds,
            }
            for item in evaluations
            for name, value in item.values.items()
        ]
    )


def _rows(run: Run, evaluations: Sequence[Evaluation], catalog: Catalog) -> list[dict[str, str]]:
    rows = []
    for item in evaluations:
        state = status_text(item.status)
        if item.status is Status.RUNNING:
            state += f" {item.progress:.0%}"
        values: Mapping[str, Value | None] = item.values or {"": None}
        groups = group_names(catalog, run.spec.dataset.key, item.params)
        for name, value in values.items():
            label = result_label(f"{item.name}.{name}", item.key, item.params, catalog, item.split)
            rows.append(
                {
                    "Metric": with_group_name(label, groups)
                    + (f" ({item.name})" if item.name not in (item.key, f"{item.key}_{item.split}") else ""),
                    "Value": number(value.value) if value else "—",
                    "95 % interval": f"{number(value.low)} to {number(value.high)}"
                    if value and value.low is not None
                    else "—",
                    "n": str(value.n) if value else "—",
                    "Better": {True: "higher", False: "lower", None: "—"}[value.higher_is_better if value else None],
                    "Flags": ", ".join(f"⚠ {readable(flag.key)}" for flag in item.flags) or "—",
                    "Status": state,
                    "Time": duration(item.seconds),
                }
            )
    return rows


def _show_waiting(evaluations: Sequence[Evaluation]) -> None:
    """Draw the unfinished evaluations with their progress and a cancel button."""
    for item in evaluations:
        if item.status.final:
            continue
        bar, action = st.columns([6, 1], vertical_alignment="center")
        bar.progress(item.progress, text=f"{escaped(item.name)}: {item.status.value} · {item.progress:.0%}")
        if action.button("Cancel", key=f"cancel-{item.name}", icon=":material/stop:"):
            with show_api_errors():
                api().cancel_task(item.task)
                flash(f"Cancelling {item.name}; finished evaluations are kept.")
                st.rerun()


def _show_charts(run: Run, evaluations: Sequence[Evaluation], catalog: Catalog) -> None:
    """Draw two charts in a row with their warnings, and below the row the images of a clicked point."""
    titled = list(plots_by_title(evaluations, catalog).items())
    flagged: set[str] = set()
    for start in range(0, len(titled), 2):
        row = titled[start : start + 2]
        for cell, (_, sharing) in zip(st.columns(2), row, strict=False):
            with cell:
                _show_chart(run, sharing, catalog)
                _show_flags([item for item, _ in sharing], flagged)
        link = st.query_params.get(LINK, "")
        if any(f"|{title}|" in link for title, _ in row):
            show_images(run, evaluations, catalog, link)
    _show_flags(evaluations, flagged)


def _show_chart(run: Run, sharing: Sharing, catalog: Catalog) -> None:
    plot = sharing[0][1]
    if plot.mark == "violins":
        spreads = _spreads(run, sharing, catalog)
        if not spreads:
            st.caption(f"{plot.title}: the values of single images are not stored.")
            return
        figure, table, label = violins(plot, spreads), spread_table(spreads), plot.title
    else:
        shown = traces(sharing, catalog, run.spec.dataset.key)
        figure, table, label = draw(plot, shown), curve_table(shown), description(plot.title, shown)
    key = "".join(letter if letter.isalnum() else "-" for letter in plot.title.lower())
    chart_card(
        figure,
        lambda: table,
        key=f"run-{run.id}-{key}",
        label=label,
        height=340,
        opens=_open if plot.images else None,
        linked=False,
    )


def _open(point: str) -> None:
    if st.query_params.get(LINK) != point:
        st.query_params[LINK] = point
        st.rerun()  # hides the images of another row


def _spreads(run: Run, sharing: Sharing, catalog: Catalog) -> list[Spread]:
    spreads: list[Spread] = []
    for item, plot in sharing:
        arrays = cached_sample_arrays(run.id, item)
        for name in plot.names:
            if name in arrays:
                spreads.append(
                    spread_of(
                        item,
                        plot,
                        name,
                        arrays,
                        label=trace_label(item, plot, name, sharing, catalog),
                        color=PALETTE[len(spreads) % len(PALETTE)],
                        click=images_link(item, plot, name, 0.0),
                    )
                )
    return spreads


def _show_flags(evaluations: Sequence[Evaluation], flagged: set[str]) -> None:
    """Draw the flags of the evaluations whose names are not in `flagged` yet."""
    for item in evaluations:
        if item.name in flagged:
            continue
        flagged.add(item.name)
        for flag in item.flags:
            st.caption(f":orange[:material/warning: **{escaped(item.name)}:** {escaped(flag.text)}]")
