"""The results of one run: the table, its charts with their flags, and the test images behind a point."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from backend.shared.contracts import CatalogPlot, Evaluation, Run, Status
from frontend.catalog import Catalog
from frontend.colors import PALETTE
from frontend.exports import chart, downloads
from frontend.images_behind import LINK, show_images
from frontend.kept_arrays import per_image
from frontend.parts import api, flash, problems_shown
from frontend.result_charts import (
    Spread,
    behind,
    curve_table,
    described,
    draw,
    plots,
    spread_of,
    spread_table,
    trace_label,
    traces,
    violins,
)
from frontend.words import duration, escaped, number, readable, result_label, status_text

Sharing = Sequence[tuple[Evaluation, CatalogPlot]]  # the evaluations that share a chart


def show_results(run: Run, evaluations: Sequence[Evaluation], offered: Catalog) -> None:
    st.subheader("Results")
    if not evaluations:
        st.info("Nothing has been measured of this run.", icon=":material/straighten:")
        return
    st.dataframe(pd.DataFrame(_rows(evaluations, offered)), hide_index=True)
    downloads(result_table(evaluations), f"run-{run.id}-results")
    if run.status.final:
        _show_waiting(evaluations)
    for item in evaluations:
        if item.error:
            st.error(f"**{escaped(item.name)} {item.status.value}:** {escaped(item.error)}", icon=":material/error:")
    _show_charts(run, evaluations, offered)
    with st.expander("How each was measured"):
        st.json({item.name: {"evaluation": item.key, **item.params, "provenance": item.provenance}
                 for item in evaluations})


def result_table(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """A row per value, as the API gives it, with the keys of its evaluation's flags."""
    return pd.DataFrame([
        {"evaluation": item.name, "key": item.key, "result": name, "value": value.value, "low": value.low,
         "high": value.high, "n": value.n, "higher_is_better": value.higher_is_better,
         "flags": " ".join(flag.key for flag in item.flags), "seconds": item.seconds}
        for item in evaluations for name, value in item.values.items()
    ])


def _rows(evaluations: Sequence[Evaluation], offered: Catalog) -> list[dict[str, str]]:
    rows = []
    for item in evaluations:
        state = status_text(item.status)
        if item.status is Status.RUNNING:
            state += f" {item.progress:.0%}"
        values = item.values or {"": None}
        for name, value in values.items():
            rows.append({
                "Measure": result_label(f"{item.name}.{name}", item.key, item.params, offered)
                + (f" ({item.name})" if item.name != item.key else ""),
                "Value": number(value.value) if value else "—",
                "95 % interval": f"{number(value.low)} to {number(value.high)}"
                if value and value.low is not None else "—",
                "n": str(value.n) if value else "—",
                "Better": {True: "higher", False: "lower", None: "—"}[value.higher_is_better if value else None],
                "Flags": ", ".join(f"⚠ {readable(flag.key)}" for flag in item.flags) or "—",
                "Status": state,
                "Time": duration(item.seconds),
            })
    return rows


def _show_waiting(evaluations: Sequence[Evaluation]) -> None:
    """What is still to be measured, each to be cancelled."""
    for item in evaluations:
        if item.status.final:
            continue
        bar, action = st.columns([6, 1], vertical_alignment="center")
        bar.progress(item.progress, text=f"{escaped(item.name)}: {item.status.value} · {item.progress:.0%}")
        if action.button("Cancel", key=f"cancel-{item.name}", icon=":material/stop:"):
            with problems_shown():
                api().cancel_task(item.task)
                flash(f"Cancelling {item.name}; what has been measured stays.")
                st.rerun()


def _show_charts(run: Run, evaluations: Sequence[Evaluation], offered: Catalog) -> None:
    """Two charts in a row, below each the flags of its evaluations, and below the row the images asked for."""
    found = list(plots(evaluations, offered).items())
    flagged: set[str] = set()
    for start in range(0, len(found), 2):
        row = found[start:start + 2]
        for cell, (_, sharing) in zip(st.columns(2), row, strict=False):
            with cell:
                _show_chart(run, sharing, offered)
                _show_flags([item for item, _ in sharing], flagged)
        asked = st.query_params.get(LINK, "")
        if any(f"|{title}|" in asked for title, _ in row):
            show_images(run, evaluations, offered, asked)
    _show_flags(evaluations, flagged)


def _show_chart(run: Run, sharing: Sharing, offered: Catalog) -> None:
    plot = sharing[0][1]
    if plot.mark == "violins":
        spreads = _spreads(run, sharing, offered)
        if not spreads:
            st.caption(f"{plot.title}: the values of single images are not kept.")
            return
        figure, table, label = violins(plot, spreads), spread_table(spreads), plot.title
    else:
        shown = traces(sharing, offered)
        figure, table, label = draw(plot, shown), curve_table(shown), described(plot.title, shown)
    key = "".join(letter if letter.isalnum() else "-" for letter in plot.title.lower())
    chart(figure, table, key=f"run-{run.id}-{key}", label=label, height=340, opens=_open if plot.images else None,
          linked=False)


def _open(point: str) -> None:
    if st.query_params.get(LINK) != point:
        st.query_params[LINK] = point
        st.rerun()  # images that another row shows go away


def _spreads(run: Run, sharing: Sharing, offered: Catalog) -> list[Spread]:
    found: list[Spread] = []
    for item, plot in sharing:
        kept = per_image(run.id, item)
        for name in plot.names:
            if name in kept:
                found.append(spread_of(
                    item, plot, name, kept[name], label=trace_label(item, plot, name, sharing, offered),
                    color=PALETTE[len(found) % len(PALETTE)], click=behind(item, plot, name, 0.0)))
    return found


def _show_flags(evaluations: Sequence[Evaluation], flagged: set[str]) -> None:
    """The flags of the evaluations that have not been shown yet."""
    for item in evaluations:
        if item.name in flagged:
            continue
        flagged.add(item.name)
        for flag in item.flags:
            st.warning(f"**{escaped(item.name)}:** {escaped(flag.text)}", icon=":material/warning:")
