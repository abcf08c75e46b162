"""An experiment, or any set of runs: the table over seeds, the trade-offs, and the curves on top of each other."""

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from backend.shared.contracts import Run, Status
from frontend.aggregate import (
    Column,
    baseline_for,
    by_seed,
    data_hashes,
    difference,
    mean_over_seeds,
)
from frontend.charts import METRIC_LABELS, X_LABELS, Point, RunPoint, metric_label, overlay, scatter
from frontend.client import ApiError
from frontend.comparison import HEADLINES, Comparison, column_label, compare, setting_label, setting_text, text
from frontend.live_chart import live_chart, load_charts
from frontend.parts import REFRESH_SECONDS, api, catalog, problems_shown, query_int, query_ints
from frontend.words import duration, escaped, joined, run_name, status_text

MAX_MAPS = 6
MAX_CURVES = 60
PAIRS = (("pgd_linf.accuracy", "accuracy.accuracy"), ("leakage.share", "accuracy.accuracy"))


def choose() -> tuple[str, Callable[[], list[Run]]]:
    """(what is compared, how to fetch its runs), from the link or the choice at the top."""
    run_ids = query_ints("runs")
    if run_ids:
        runs, lost = [], []
        for run_id in run_ids:
            try:
                runs.append(api().run(run_id))
            except ApiError as error:
                if error.status != 404:
                    raise
                lost.append(run_id)
        if lost:
            st.warning(f"No longer there: run {joined(lost)}. They may have been deleted.",
                       icon=":material/link_off:")
        there = [run.id for run in runs]
        return f"Runs {joined(there)}", lambda: [api().run(run_id) for run_id in there]
    wanted = query_int("experiment")
    experiments = api().experiments(limit=50).items
    if not experiments:
        st.info("Nothing to compare yet: launch the demo from the home page.", icon=":material/lightbulb:")
        st.page_link("app_pages/home.py", label="Home", icon=":material/home:")
        st.stop()
    if wanted is not None and wanted not in [item.id for item in experiments]:
        try:
            experiments.append(api().experiment(wanted))
        except ApiError as error:
            if error.status != 404:
                raise
            st.error(f"There is no experiment {wanted}; it may have been deleted. Choose another.",
                     icon=":material/link_off:")
            wanted = None
    places = {item.id: place for place, item in enumerate(experiments)}
    chosen = st.selectbox(
        "Experiment", experiments, index=places.get(wanted, 0) if wanted else 0, key=f"experiment-{wanted}",
        format_func=lambda item: f"{item.id}: {item.name} ({len(item.runs)} runs, {item.created_at:%Y-%m-%d %H:%M})",
    )
    if chosen.id != wanted:
        st.query_params["experiment"] = str(chosen.id)
    return chosen.name, lambda: api().runs_of(chosen.id)


def show_progress(runs: Sequence[Run]) -> None:
    counts = {status: sum(run.status is status for run in runs) for status in Status}
    words = " · ".join(f"{status_text(status)} {count}" for status, count in counts.items() if count)
    if all(run.status.final for run in runs):
        st.caption(f"{len(runs)} runs: {words}")
        return
    done = sum(1.0 if run.status.final else run.progress for run in runs) / len(runs)
    known = [run.eta_seconds for run in runs if run.eta_seconds is not None]
    left = f" · the run at work has {duration(max(known))} left" if known else ""
    st.progress(done, text=f"{len(runs)} runs: {words}{left}")


def show_table(found: Comparison, chosen: Sequence[Column]) -> None:
    offered = catalog()
    rows = []
    for group in found.groups:
        baseline = baseline_for(group, found.groups)
        row: dict[str, object] = {
            setting_label(name, group, offered): setting_text(name, group, offered) for name in found.varied
        }
        finished = sum(run.status is Status.SUCCEEDED for run in group.runs)
        row["seeds done"] = f"{finished} of {len(group.runs)}"
        for column in chosen:
            label = column_label(column, found, offered)
            estimate = mean_over_seeds(group, column)
            row[label] = text(estimate) + (f" (n = {estimate.n})" if estimate else "")
            if any(other.is_baseline for other in found.groups):
                row[f"Δ {label}"] = "baseline" if baseline is None else text(
                    difference(group, baseline, column), signed=True
                )
        rows.append(row)
    deltas = {name: st.column_config.TextColumn("Δ", help=name) for row in rows for name in row if name[:2] == "Δ "}
    event = st.dataframe(
        pd.DataFrame(rows), hide_index=True, on_select="rerun", selection_mode="single-row", key="groups",
        column_config=deltas,
    )
    st.caption("Mean ± half of the 95 % Student-t interval over n seeds. Δ is the difference from the baseline "
               "(λ = 0), paired by seed. Select a row, or click a point below, to open the run behind it.")
    if event.selection.rows:
        open_run(found.groups[event.selection.rows[0]].runs[0].id, found)


def open_run(run_id: int, found: Comparison) -> None:
    """Opens the run, and takes along one run of each other group to set its maps beside."""
    beside = [group.runs[0].id for group in found.groups if run_id not in [run.id for run in group.runs]]
    query = {"run": str(run_id), **({"with": joined(beside[:MAX_MAPS - 1])} if beside else {})}
    st.switch_page("app_pages/run.py", query_params=query)


def show_tradeoff(found: Comparison, place: int) -> None:
    offered = catalog()
    if len(found.columns) < 2:
        return
    results = [column.result for column in found.columns]
    x_default, y_default = PAIRS[place]
    x_cell, y_cell = st.columns(2)

    def pick(label: str, default: str, cell: st.delta_generator.DeltaGenerator, key: str) -> Column:
        return cell.selectbox(
            label, found.columns, index=results.index(default) if default in results else 0, key=key,
            format_func=lambda column: column_label(column, found, offered),
        )

    y = pick("Up", y_default, x_cell, f"y-{place}")
    x = pick("Across", x_default, y_cell, f"x-{place}")
    points, runs = [], []
    for label, color, group in zip(found.labels, found.colors, found.groups, strict=True):
        mean_x, mean_y = mean_over_seeds(group, x), mean_over_seeds(group, y)
        if mean_x and mean_y:
            points.append(Point(label, mean_x, mean_y, color, group.runs[0].id))
        xs, ys = by_seed(group, x), by_seed(group, y)
        runs += [
            RunPoint(found.label_of(run), xs[run.spec.seed], ys[run.spec.seed], found.run_colors[run.id], run.id)
            for run in group.runs if run.spec.seed in xs and run.spec.seed in ys
        ]
    x_label, y_label = column_label(x, found, offered), column_label(y, found, offered)
    figure = scatter("", x_label, y_label, points, runs)
    described = "; ".join(f"{point.label}: {text(point.x)}, {text(point.y)}" for point in points)
    clicked = live_chart(figure, key=f"scatter-{place}", label=f"{x_label}, {y_label}. {described}", height=400,
                         clickable=True)
    if clicked:
        open_run(int(clicked), found)
    with st.expander("These points as a table"):
        st.dataframe(
            pd.DataFrame([{"": point.label, x_label: text(point.x), y_label: text(point.y), "n": point.x.n}
                          for point in points]), hide_index=True,
        )


def show_curves(found: Comparison, runs: Sequence[Run]) -> None:
    names = {run.id: found.label_of(run) for run in runs[:MAX_CURVES]}
    series = api().metrics_of(list(names), [left_metric, right_metric], max_points=300)
    for cell, metric in zip(st.columns(2), (left_metric, right_metric), strict=True):
        with cell:
            shown = [item for item in series if item.name == metric and item.points]
            if not shown:
                st.caption(f"No points of {metric_label(metric)} yet.")
                continue
            figure = overlay(metric_label(metric), metric_label(metric), shown, names, found.run_colors,
                             x=x_axis, log_y=log_y)
            live_chart(figure, key=f"overlay-{metric}", label=f"{metric_label(metric)} of {len(shown)} runs",
                       height=340, clickable=False)
    if len(runs) > MAX_CURVES:
        st.caption(f"The first {MAX_CURVES} of {len(runs)} runs are drawn.")
    with st.expander("The last value of each curve, as a table"):
        st.dataframe(pd.DataFrame([
            {"Run": item.run, "": names[item.run], "Curve": metric_label(item.name), "Step": item.points[-1].step,
             "Value": item.points[-1].value} for item in series if item.points
        ]), hide_index=True)


def show_runs(runs: Sequence[Run]) -> None:
    with st.expander(f"The {len(runs)} runs"):
        for run in runs:
            name, state = st.columns([4, 2])
            name.page_link("app_pages/run.py", label=run_name(run, catalog()), query_params={"run": str(run.id)})
            state.caption(status_text(run.status) + (f": {run.error.splitlines()[-1][:80]}" if run.error else ""))


def is_active(runs: Sequence[Run]) -> bool:
    """Whether training or an evaluation of a trained run is still to come."""
    def measured_all(run: Run) -> bool:
        names = {result.partition(".")[0] for result in run.results}
        return {item.name or item.key for item in run.spec.evaluations} <= names

    waiting = [run for run in runs if run.status is Status.SUCCEEDED and not measured_all(run)]
    return any(not run.status.final for run in runs) or any(
        not item.status.final for run in waiting for item in api().evaluations(run.id)
    )


st.title("Compare")
subject, fetch = choose()
first = fetch()
if not first:
    st.info("None of these runs is there any more. Choose others on the Runs page.", icon=":material/lightbulb:")
    st.page_link("app_pages/runs.py", label="All runs", icon=":material/list:")
    st.stop()
st.subheader(escaped(subject))
load_charts()
live = is_active(first)
first_found = compare(first, catalog())
with st.container(horizontal=True):
    trained = [group.runs[0].id for group in first_found.groups if group.runs[0].checkpoint_step is not None]
    if st.button("Saliency maps of these, one run each", icon=":material/blur_on:", disabled=not trained,
                 help="The images and maps behind the numbers, one run of each row"):
        st.switch_page("app_pages/saliency.py", query_params={"runs": joined(trained[:MAX_MAPS])})
results = list(dict.fromkeys(column.result for column in first_found.columns))
with st.expander("Options: which results, which curves"):
    wanted = st.multiselect("Results in the table", results, [item for item in HEADLINES if item in results],
                            key=f"results-{len(results)}", placeholder="results appear as runs are measured")
    curve_cells = st.columns(4)
    metrics = list(METRIC_LABELS)
    left_metric = curve_cells[0].selectbox("Left curves", metrics, metrics.index("validation_accuracy"),
                                           format_func=metric_label)
    right_metric = curve_cells[1].selectbox("Right curves", metrics, metrics.index("gradient_norm"),
                                            format_func=metric_label)
    x_axis = curve_cells[2].segmented_control("Over", list(X_LABELS), default="step", required=True)
    log_y = curve_cells[3].toggle("Log y of the curves", value=False)


@st.fragment(run_every=2 * REFRESH_SECONDS if live else None)
def show_live() -> None:
    with problems_shown(retrying=live):
        runs = fetch()
        if live and not is_active(runs):
            st.rerun()
        found = compare(runs, catalog())
        show_progress(runs)
        if len(data_hashes(runs)) > 1:
            st.warning("These runs were measured on different images: their numbers can't be set side by side "
                       "fairly.", icon=":material/warning:")
        chosen = [column for column in found.columns
                  if column.result in wanted or (not results and column.result in HEADLINES)]
        show_table(found, chosen)
        if found.columns:
            for place, cell in enumerate(st.columns(2)):
                with cell:
                    show_tradeoff(found, place)
        st.subheader("Curves")
        show_curves(found, runs)
        show_runs(runs)


show_live()
