"""The similarity of saliency maps over the strength of a perturbation, and the maps before and after it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from densitylab.backend.shared.contracts import CatalogEntry, Component, Evaluation, EvaluationSpec
from densitylab.frontend.analysis.formatting import counted, escaped, joined
from densitylab.frontend.charts.stability_curves import STABILITY, curves, evaluation_params, points, reading, table
from densitylab.frontend.explore import link
from densitylab.frontend.explore.display import choose_display
from densitylab.frontend.explore.drawing import map_file, request_maps
from densitylab.frontend.explore.images import choose_images, show_more
from densitylab.frontend.explore.map_downloads import show_map_downloads
from densitylab.frontend.explore.methods import choose_maps, non_default, score_name
from densitylab.frontend.explore.perturbing import choose_perturbation, strength_label, without_strength
from densitylab.frontend.explore.probe import show_pixel_values
from densitylab.frontend.explore.runs import choose_runs, class_names, columns
from densitylab.frontend.maps.render import read_maps
from densitylab.frontend.maps.saliency_panels import scale_html
from densitylab.frontend.maps.stability_panels import SIMILARITIES, shown_similarity, stability_figure, stability_html
from densitylab.frontend.maps.view import MapView, RunColumn
from densitylab.frontend.ui.api import REFRESH_SECONDS, api, show_api_errors
from densitylab.frontend.ui.chart_card import show_table, table_icon
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.live_chart import live_chart, load_charts
from densitylab.frontend.ui.widgets import number_list

IMAGES = (100, 500, 1000)  # numbers of test images of a curve
FIRST_IMAGES = 2  # whose maps are shown


@fragment()
def choose_and_draw(
    maps: MapView,
    content: bytes,
    method: CatalogEntry,
    perturbation: str,
    link_fields: dict[str, Any],
    places: list[DeltaGenerator],
) -> None:
    """Draw the display options and the downloads here, and scale, legend and maps in their places; a change of an
    option redraws these alone."""
    with st.expander("Display", key="display-options"):
        display = choose_display(signed=method.signed, has_mask=maps.maps.masks is not None)
    link.write_view(link_fields)
    view = replace(maps, display=display)
    title = f"{method.label} under {perturbation}, {counted(len(view.columns), 'run')}"
    show_map_downloads("stability", lambda: stability_figure(view, title), content)
    scale, legend, cards = places
    scale.html(scale_html(view))
    meaning = view.color_meaning(score_name(method))
    legend.caption(
        f"**{meaning[0].upper()}{meaning[1:]}.** **One scale for all maps and differences**: {view.limit_words()}. "
        "Perturbations have a scale of their own. Below each difference: the similarity of the two maps. The map of a "
        "shifted image is shifted back before the comparison, but not in the picture."
        + ("" if view.maps.masks is None else " Dashed: the null region, which does not depend on the label.")
    )
    cards.html(stability_html(view, link.value("zoom")))


def show_numbers(view: MapView) -> None:
    """Draw the numbers of the maps as a table behind an icon."""
    rows = [
        {
            "image": panel.index,
            "run": panel.run,
            "prediction": view.class_name(panel.predicted),
            "after": view.class_name(panel.perturbed.predicted),
            "log p": panel.log_density,
            "log p after": panel.perturbed.log_density,
            "change L2": panel.perturbed.delta_l2,
            **panel.perturbed.similarity,
        }
        for panel in view.answer.panels
        if panel.perturbed
    ]
    table_icon(
        lambda: show_table(pd.DataFrame(rows), "stability-numbers"),
        key="numbers-table",
        label="The numbers of the maps as a table",
    )


def fetch_evaluations(run_columns: Sequence[RunColumn]) -> dict[int, list[Evaluation]]:
    """Return the evaluations of each run."""
    with show_api_errors(retrying=True):
        return {column.run: api().evaluations(column.run) for column in run_columns}
    return {}


def unfinished(evaluations: Mapping[int, Sequence[Evaluation]]) -> list[Evaluation]:
    """Return the stability evaluations that are queued or running."""
    return [item for items in evaluations.values() for item in items if item.key == STABILITY and not item.status.final]


def start_evaluations(
    run_columns: Sequence[RunColumn],
    attribution: Component,
    entry: CatalogEntry,
    perturbation: Component,
) -> str:
    """Draw the controls that start evaluations; return the metric to plot."""
    strength = entry.params[0]
    metric_cell, images_cell = st.columns(2)
    metric = metric_cell.selectbox(
        "Metric", list(SIMILARITIES), format_func=SIMILARITIES.__getitem__, key="lab_measure"
    )
    images = images_cell.selectbox("Test images", IMAGES, key="lab_curve_images", help="The first n of the test split.")
    strengths = number_list(
        "Strengths",
        [strength.default, 2 * strength.default, 4 * strength.default],
        key=f"lab_strengths/{entry.key}",
        kind=int if strength.type == "int" else float,
    )
    fields = FieldErrors()
    fields.show(f"/params/perturbation/params/{strength.name}")
    if st.button(
        f"Evaluate {counted(len(run_columns), 'run')}",
        icon=":material/straighten:",
        width="stretch",
        disabled=not strengths,
    ):
        with show_api_errors(fields):
            for column in run_columns:
                for value in strengths or []:
                    params = evaluation_params(attribution, perturbation, strength.name, value, images)
                    api().evaluate(column.run, EvaluationSpec(key=STABILITY, params=params))
    return metric


def show_curves(
    run_columns: Sequence[RunColumn],
    attribution: Component,
    entry: CatalogEntry,
    perturbation: Component,
    *,
    refreshing: bool,
) -> None:
    """Draw the metric against the strength; the part refreshes while evaluations run."""
    chart, controls = st.columns([3, 1], gap="medium")
    with controls:
        metric = start_evaluations(run_columns, attribution, entry, perturbation)
    evaluations = fetch_evaluations(run_columns)
    pending = unfinished(evaluations)
    if bool(pending) != refreshing:
        st.rerun(scope="app")  # starts or stops the refresh
    if pending:
        controls.progress(
            sum(item.progress for item in pending) / len(pending),
            text=f"{counted(len(pending), 'evaluation')} queued or running",
        )
    by_run = {run: points(items, attribution, perturbation, entry.params[0].name) for run, items in evaluations.items()}
    if not any(by_run.values()):
        chart.info(
            f"No evaluations of this method and perturbation yet. Evaluate the chosen strengths: the similarity of the "
            f"maps before and after {escaped(entry.label)}, over its strength, appears here.",
            icon=":material/lightbulb:",
        )
        return
    with chart:
        st.markdown(escaped(reading(metric, SIMILARITIES[metric], strength_label(entry), run_columns, by_run)))
        clicked = live_chart(
            curves(metric, SIMILARITIES[metric], strength_label(entry), run_columns, by_run),
            key="stability",
            label=f"{SIMILARITIES[metric]} against the strength of {entry.label}",
            height=290,
            clickable=True,
        )
    with controls:
        st.caption(
            "Means with 95 % bootstrap intervals, stratified by class. Dotted: a random map; dashed: random weights. "
            "Click a point to show its least stable images below."
        )
    numbers = pd.DataFrame(table(run_columns, by_run, metric))
    table_icon(lambda: show_table(numbers, "stability-curves"), key="curves-table", label="The curves as a table")
    if clicked:
        run, strength, evaluation = clicked
        show_least_stable(run, strength, evaluation, metric)


def show_least_stable(run: int, strength: float, evaluation: str, metric: str) -> None:
    """Rerun the page with the images whose maps changed most, at the strength of the point."""
    with show_api_errors():
        worst = api().browse([run], worst=f"{evaluation}.{metric}", limit=st.session_state[link.key("count")])
        indices = joined([sample.index for sample in worst.items])
        link.change_view({"samples": indices, "strength": strength, "split": "test"})


st.title("Stability")
opened = link.read_view({"target": "predicted"}, FIRST_IMAGES)
show_pixel_values()
load_charts()
runs = choose_runs("the page shows the effect of a perturbation on the maps of each", opened=opened)
run_columns, names = columns(runs), class_names(runs)
fields = FieldErrors()
samples = choose_images(runs, run_columns, fields)
method, params, target = choose_maps(runs, names, fields)
entry, perturbation = choose_perturbation(fields)
evaluations = fetch_evaluations(run_columns)
evaluating, attribution = bool(unfinished(evaluations)), Component(key=method.key, params=params)
drawn = any(points(items, attribution, perturbation, entry.params[0].name) for items in evaluations.values())
above, maps_place, below = st.container(), st.container(), st.container()
with above if drawn else below:
    fragment(run_every=REFRESH_SECONDS if evaluating else None)(show_curves)(
        run_columns, attribution, entry, perturbation, refreshing=evaluating
    )
if samples is None:
    st.stop()
link_fields = {
    "params": non_default(method, params),
    "perturbation_params": non_default(entry, without_strength(entry, perturbation.params)),
}
link.write_view(link_fields)
with maps_place:
    answer = request_maps(
        fields,
        runs=[column.run for column in run_columns],
        method=method.key,
        params=params,
        samples=samples,
        target=target,
        perturbation=perturbation,
    )
    if answer is not None:
        with show_api_errors():
            content = map_file(answer.id)
            view = MapView(answer, read_maps(content), run_columns, names, method.signed, method.label)
            st.markdown(escaped(shown_similarity(view)))
            scale, legend = st.columns([2, 5], vertical_alignment="center")
            places = [scale.empty(), legend.empty(), st.empty()]
            with st.sidebar:
                choose_and_draw(view, content, method, entry.key, link_fields, places)
            if len(samples.indices) < link.MAX_IMAGES and samples.split != "upload":
                st.button("Show more images", icon=":material/add:", on_click=show_more)
            show_numbers(view)
