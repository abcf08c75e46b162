"""An experiment, or any set of runs: the table over seeds, the trade-offs, and the curves on top of each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from backend.shared.contracts import Run, Status
from frontend.aggregate import Column, higher_is_better
from frontend.charts import METRIC_LABELS, X_LABELS, metric_label
from frontend.client import ApiError
from frontend.comparison import (
    HEADLINES,
    Comparison,
    column_label,
    compare,
    measured_differently,
    short_label,
    text,
)
from frontend.exports import chart, downloads
from frontend.group_curves import group_curves, mean_curves, mean_table, run_table
from frontend.images_behind import LINK as IMAGES_LINK
from frontend.kept_figures import kept_curves, kept_parallel, kept_response, kept_tradeoff
from frontend.live_chart import load_charts
from frontend.measured import show_measured
from frontend.parts import REFRESH_SECONDS, api, catalog, problems_shown, query_int, query_ints
from frontend.report import report
from frontend.response import lines
from frontend.selection import matched, selection_words
from frontend.tables import BEST, SEEDS, all_runs, matches, numbers, per_run, summary
from frontend.words import duration, escaped, joined, run_name, status_text

MAX_MAPS, MAX_CURVES, MAX_RESPONSES, MAX_AXES, MAX_LINKS, MAX_ASKED = 6, 60, 6, 6, 50, 20
OWN_BASELINE = "automatic: no penalty, the same otherwise"
UP = (("pgd_linf.accuracy", "pgd_l2.accuracy", "leakage.l2"), ("leakage.share", "leakage.l2"))


@dataclass(frozen=True)
class Subject:
    """What is compared."""

    name: str
    experiment: int | None  # None: runs chosen one by one
    fetch: Callable[[], list[Run]]


def choose() -> Subject:
    """What the link says, or the choice at the top."""
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
        return Subject(f"Runs {joined(there)}", None, lambda: [api().run(run_id) for run_id in there])
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
    return Subject(chosen.name, chosen.id, lambda: api().runs_of(chosen.id))


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
    table = summary(found, chosen, offered, all_settings=st.session_state["identical"],
                    deltas=st.session_state["deltas"])
    table.insert(0, "●", "●")
    colors = pd.DataFrame("", table.index, table.columns)
    colors["●"] = [f"color: {color}" for color in found.colors]
    slim = {name: st.column_config.TextColumn("Δ", help=f"{name}: difference from the baseline", width=98)
            for name in table.columns if name.startswith("Δ ")}
    slim |= {short_label(column, found, offered): st.column_config.TextColumn(
        help=column_label(column, found, offered), width=114) for column in chosen}
    slim |= {"λ": st.column_config.TextColumn(width=52), SEEDS: st.column_config.TextColumn(width=96)}
    slim["●"] = st.column_config.TextColumn("", help="The group's colour in every chart", width=24)
    event = st.dataframe(table.style.apply(lambda _: colors, axis=None), hide_index=True, on_select="rerun",
                         selection_mode="single-row", key="groups", column_config=slim, width="content")
    if event.selection.rows:
        open_run(found.groups[event.selection.rows[0]].runs[0].id, found)
    if not chosen:
        st.caption("Results appear here as runs are measured. Select a row to open its run.")
        return
    st.caption(f"Mean ± half of the 95 % Student-t interval over the seeds done; {BEST.strip()} best mean. Δ is the "
               "difference from the baseline at the top, paired by seed. Select a row, or click a point below, to "
               "open the run behind it.")
    downloads(pd.DataFrame(numbers(found, chosen, offered)), "comparison")


def open_run(run_id: int, found: Comparison, images: str | None = None) -> None:
    """Opens the run with the test images behind a point, and takes along one run of each other group to set its maps
    beside."""
    beside = [group.runs[0].id for group in found.groups if run_id not in [run.id for run in group.runs]]
    query = {"run": str(run_id), **({"with": joined(beside[:MAX_MAPS - 1])} if beside else {})}
    if images:
        query[IMAGES_LINK] = images
    st.switch_page("app_pages/run.py", query_params=query)


def pick(
    label: str, found: Comparison, key: str, preferred: Sequence[str], cell: DeltaGenerator,
    offered: Sequence[Column] | None = None,
) -> Column:
    """One result of those measured; the first of the preferred ones until another is chosen."""
    columns = list(found.columns if offered is None else offered)
    names = {short_label(column, found, catalog()): column for column in columns}
    first = next((place for result in preferred for place, column in enumerate(columns) if column.result == result), 0)
    return names[cell.selectbox(label, list(names), index=first, key=key, bind="query-params")]


def show_responses(found: Comparison, chosen: Sequence[Column]) -> None:
    drawable = [column for column in chosen if any(len(line.places) > 1 for line in lines(found, column))]
    if not drawable:
        return
    st.subheader("Over λ")
    for place, column in enumerate(drawable[:MAX_RESPONSES]):
        if place % 2 == 0:
            cells = st.columns(2)
        with cells[place % 2]:
            label = column_label(column, found, catalog())
            figure = kept_response(found.fingerprint, label, found, column)
            table = pd.DataFrame([
                {"line": line.label, "λ": lambda_, "mean": mean.mean, "low": mean.low, "high": mean.high, "n": mean.n}
                for line in lines(found, column) for lambda_, _, mean in line.places
            ])
            chart(figure, table, key=f"lambda-{column.result}",
                  label=f"{label} over λ", height=330, opens=lambda run_id: open_run(run_id, found))
    st.caption("Diamonds are means over seeds, bands their 95 % intervals, dots single runs. λ = 0 has a place of its "
               "own at the left of the logarithmic axis.")


def show_tradeoffs(found: Comparison) -> None:
    if len(found.columns) < 2:
        return
    st.subheader("Trade-offs")
    for place, cell in enumerate(st.columns(2)):
        with cell:
            across, up = st.columns(2)
            y = pick("Up", found, f"up{place + 1}", UP[place], up)
            x = pick("Across", found, f"across{place + 1}", ("accuracy.accuracy",), across)
            names = [short_label(column, found, catalog()) for column in (x, y)]
            figure, points = kept_tradeoff(found.fingerprint, names, found, x, y)
            table = pd.DataFrame([
                {"group": point.label, f"{names[0]}": point.x.mean, f"{names[0]} ±": point.x.half_width,
                 f"{names[1]} ": point.y.mean, f"{names[1]} ± ": point.y.half_width, "n": point.x.n,
                 "dominated": point.faint} for point in points
            ])
            described = "; ".join(f"{point.label}: {text(point.x)}, {text(point.y)}" for point in points)
            chart(figure, table, key=f"tradeoff-{place + 1}", label=f"Trade-off: {' and '.join(names)}. {described}",
                  height=430, opens=lambda run_id: open_run(run_id, found))
    st.caption("Diamonds are means over seeds with 95 % intervals, dots single runs. Faint: another group is at least "
               "as good in both and better in one; the dotted line joins the others.")


def show_matched(found: Comparison) -> None:
    """The best of each regularizer that keeps the baseline's accuracy, nearly."""
    directed = [column for column in found.columns if higher_is_better(all_runs(found), column) is not None
                and not column.result.startswith("accuracy.")]
    baselines = [group for group in found.groups if found.is_baseline(group)]
    if not directed or not baselines:
        return
    st.subheader("At matched accuracy")
    what, loss_cell, _ = st.columns([2, 2, 3])
    column = pick("Best", found, "best", UP[0], what, directed)
    loss = loss_cell.number_input("Accuracy that may be lost, points", 0.0, 100.0, 2.0, 0.5, key="loss",
                                  bind="query-params")
    accuracy = next((item for item in found.columns if item.result == "accuracy.accuracy"), None)
    rows = []
    for baseline in baselines:
        members = [group for group, own in zip(found.groups, found.baselines, strict=True) if own is baseline]
        rows += matched([baseline, *members], baseline, column, accuracy, max_loss=loss / 100,
                        higher=bool(higher_is_better(all_runs(found), column)))
    if not rows:
        st.caption("Nothing to choose from yet: accuracy or this result is still missing.")
        return
    table = matches(rows, found, column, catalog())
    st.dataframe(table, hide_index=True)
    st.caption(selection_words(rows))
    downloads(table, "matched-accuracy")


def show_parallel(found: Comparison, chosen: Sequence[Column]) -> None:
    axes = chosen[:MAX_AXES]
    names = [column_label(column, found, catalog()) for column in axes]
    figure = kept_parallel(found.fingerprint, names, found, axes)
    if figure is None:
        return
    st.subheader("All at once")
    if not st.toggle("One line per run", value=len(all_runs(found)) <= MAX_CURVES, key="lines", bind="query-params",
                     help="Drawn by the graphics processor; without one the page waits for it"):
        return
    table = per_run(found, chosen, catalog())
    chart(figure, table, key="parallel", label="Settings and results, one line per run", height=340)
    lacking = sum(any(group.value_of(run, column) is None for column in axes)
                  for group in found.groups for run in group.runs)
    missing = f" {lacking} runs lack some of these results." if lacking else ""
    st.caption(f"One line per run, in its group's colour; drag along an axis to keep those that pass there.{missing}")


def show_curves(found: Comparison, runs: Sequence[Run]) -> None:
    st.subheader("Curves")
    cells = st.columns([2, 2, 3, 2, 2])
    metrics = list(METRIC_LABELS)
    names = {run.id: found.label_of(run) for run in runs[:MAX_CURVES]}
    picked = [
        cell.selectbox(label, metrics, metrics.index(first), format_func=metric_label, key=label.lower(),
                       bind="query-params")
        for cell, label, first in zip(cells, ("Left", "Right"), ("validation_accuracy", "gradient_norm"), strict=False)
    ]
    over = cells[2].segmented_control("Over", list(X_LABELS), default="step", required=True, key="over",
                                      bind="query-params")
    smoothing = cells[3].slider("Smoothing", 0.0, 0.99, 0.0, key="smoothing", bind="query-params",
                                help="Weight of the past in an exponential mean; the raw curve stays, faint")
    with cells[4]:
        log_x = st.toggle("Log x", key="logx", bind="query-params")
        log_y = st.toggle("Log y", key="logy", bind="query-params")
        means = st.toggle("Means over seeds", key="means", bind="query-params",
                          help="A line per group with the 95 % interval over its seeds, at the steps that all have")
    series = api().metrics_of(list(names), list(dict.fromkeys(picked)), max_points=300)
    for side, cell, metric in zip(("left", "right"), st.columns(2), picked, strict=True):
        with cell:
            shown = [item for item in series if item.name == metric and item.points]
            if not shown:
                st.caption(f"No points of {metric_label(metric)} yet.")
                continue
            if means:
                curves = group_curves(found, shown, over)
                figure = mean_curves(metric_label(metric), curves, x=over, log_x=log_x, log_y=log_y,
                                     smoothing=smoothing).to_json()
                table = mean_table(curves)
            else:
                ends = [(item.run, len(item.points), item.points[-1].step) for item in shown]
                figure = kept_curves(found.fingerprint, ends, metric, over, log_x, log_y, smoothing, names, found,
                                       shown)
                table = run_table(found, shown)
            chart(figure, table, key=f"curves-{side}", label=f"{metric_label(metric)} of {len(shown)} runs",
                  height=380, opens=lambda run_id: open_run(run_id, found))
    if len(runs) > MAX_CURVES:
        st.caption(f"The first {MAX_CURVES} of {len(runs)} runs are drawn.")


def show_runs(runs: Sequence[Run]) -> None:
    folded = st.expander(f"The {len(runs)} runs", key="folded-runs", on_change="rerun")
    if len(runs) > MAX_LINKS and not folded.open:
        return  # so many links slow the page down even while they are folded
    with folded:
        if len(runs) > MAX_LINKS:
            st.caption(f"The first {MAX_LINKS}; a click on a point opens any other.")
        for run in runs[:MAX_LINKS]:
            name, state = st.columns([4, 2])
            name.page_link("app_pages/run.py", label=run_name(run, catalog()), query_params={"run": str(run.id)})
            state.caption(status_text(run.status) + (f": {run.error.splitlines()[-1][:80]}" if run.error else ""))


def is_active(runs: Sequence[Run]) -> bool:
    """Whether training or an evaluation of a trained run is still to come."""
    def measured_all(run: Run) -> bool:
        names = {result.partition(".")[0] for result in run.results}
        return {item.name for item in run.evaluations} <= names

    waiting = [run for run in runs if run.status is Status.SUCCEEDED and not measured_all(run)]
    # Measures are taken in the order of the runs, so the last ones tell
    return any(not run.status.final for run in runs) or any(
        not item.status.final for run in waiting[-MAX_ASKED:] for item in api().evaluations(run.id)
    )


def show_report(experiment: int | None) -> None:
    """Makes the report on request, and then offers it: it may have to wait for its maps."""
    if experiment is None:
        return
    if st.button("Make a report", icon=":material/description:",
                 help="One HTML file with tables, charts, maps, specs and provenance, to keep or to send"):
        with st.spinner("Collecting numbers and maps"), problems_shown():
            st.session_state["report"] = experiment, report(api(), experiment)
    made = st.session_state.get("report")
    if made and made[0] == experiment:
        st.download_button("Download the report", made[1], f"experiment-{experiment}.html", "text/html",
                           icon=":material/download:", type="primary", on_click="ignore")


def show_options(found: Comparison) -> tuple[list[str], int | None]:
    """(results to show, a run of the baseline or None for each group's own), from the options and the link."""
    names = list(dict.fromkeys(column.result for column in found.columns))
    with st.expander("Options: results, baseline, columns"):
        left, right = st.columns([3, 2])
        wanted = left.multiselect("Results", names, key="results", bind="query-params", placeholder="the main ones",
                                  format_func=lambda name: name.replace("_", " ").replace(".", ": "))
        by_label = dict(zip(found.labels, found.groups, strict=True))
        baseline = right.selectbox("Baseline", [OWN_BASELINE, *by_label], key="baseline", bind="query-params")
        with st.container(horizontal=True):
            st.toggle("Differences from the baseline", value=True, key="deltas", bind="query-params")
            st.toggle("Settings that are the same everywhere", key="identical", bind="query-params")
    return wanted, by_label[baseline].runs[0].id if baseline in by_label else None


st.title("Compare")
subject = choose()
first = subject.fetch()
if not first:
    st.info("None of these runs is there any more. Choose others on the Runs page.", icon=":material/lightbulb:")
    st.page_link("app_pages/runs.py", label="All runs", icon=":material/list:")
    st.stop()
st.subheader(escaped(subject.name))
load_charts()
live = is_active(first)
first_found = compare(first, catalog())
with st.container(horizontal=True):
    trained = [group.runs[0].id for group in first_found.groups if group.runs[0].checkpoint_step is not None]
    if st.button("Saliency maps of these, one run each", icon=":material/blur_on:", disabled=not trained,
                 help="The images and maps behind the numbers, one run of each row"):
        st.switch_page("app_pages/saliency.py", query_params={"runs": joined(trained[:MAX_MAPS])})
    show_report(subject.experiment)
wanted, baseline = show_options(first_found)


just_fetched = [first]  # for the first time that the part below is drawn


@st.fragment(run_every=2 * REFRESH_SECONDS if live else None)
def show_live() -> None:
    with problems_shown(retrying=live):
        runs = just_fetched.pop() if just_fetched else subject.fetch()
        if live and not is_active(runs):
            st.rerun()
        found = first_found if runs is first and baseline is None else compare(runs, catalog(), baseline=baseline)
        show_progress(runs)
        for result in measured_differently(found):
            st.warning(f"{result} was measured with different parameters or on different data: each way has a "
                       "column of its own, and no number of one is set against the other.", icon=":material/warning:")
        chosen = [column for column in found.columns if column.result in (wanted or HEADLINES)]
        show_table(found, chosen)
        show_responses(found, chosen)
        show_tradeoffs(found)
        show_matched(found)
        show_parallel(found, chosen)
        show_curves(found, runs)
        show_measured(found, runs, lambda run_id, images: open_run(run_id, found, images))
        show_runs(runs)


show_live()
