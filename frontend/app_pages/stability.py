"""Saliency maps before and after a perturbation, and their similarity over its strength."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts import (
    Attribution,
    CatalogEntry,
    Component,
    Evaluation,
    EvaluationSpec,
)
from densitylab.frontend.analysis.formatting import counted, joined
from densitylab.frontend.charts.stability_curves import STABILITY, curves, evaluation_params, points, table
from densitylab.frontend.explore import link
from densitylab.frontend.explore.display import choose_display
from densitylab.frontend.explore.drawing import map_file, request_maps
from densitylab.frontend.explore.images import choose_images
from densitylab.frontend.explore.map_downloads import show_map_downloads
from densitylab.frontend.explore.methods import choose_maps, non_default
from densitylab.frontend.explore.perturbing import choose_perturbation, strength_label, without_strength
from densitylab.frontend.explore.probe import show_pixel_values
from densitylab.frontend.explore.runs import choose_runs, class_names, columns
from densitylab.frontend.maps.render import read_maps
from densitylab.frontend.maps.saliency_panels import scale_html
from densitylab.frontend.maps.stability_panels import SIMILARITIES, stability_figure, stability_html
from densitylab.frontend.maps.view import MapView, RunColumn
from densitylab.frontend.ui.api import REFRESH_SECONDS, api, show_api_errors
from densitylab.frontend.ui.chart_card import show_table
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.live_chart import live_chart, load_charts
from densitylab.frontend.ui.widgets import number_list

IMAGES = (100, 500, 1000)  # numbers of test images of a curve


@fragment()
def show(
    answer: Attribution,
    method: CatalogEntry,
    run_columns: Sequence[RunColumn],
    class_names: Sequence[str],
    link_fields: dict[str, Any],
) -> None:
    """Draw the maps with their display options; a change of an option redraws this part alone."""
    content = map_file(answer.id)
    display = choose_display(signed=method.signed, has_mask=False)
    link.write_view(link_fields)
    view = MapView(answer, read_maps(content), run_columns, class_names, method.signed, method.label, display)
    scale, legend, downloads = st.columns([3, 5, 3], vertical_alignment="center")
    scale.html(scale_html(view))
    legend.caption(
        f"**One scale for all maps and differences**: {view.limit_words()}. Perturbations have a scale of their own. "
        "Below each difference: the similarity of the two maps. The map of a shifted image is shifted back before "
        "the comparison, but not in the picture. The dotted and dashed curves below are what a random map and random "
        "weights give."
    )
    with downloads:
        title = f"{method.label} under {perturbation.key}, {counted(len(run_columns), 'run')}"
        show_map_downloads("stability", lambda: stability_figure(view, title), content)
    st.html(stability_html(view, link.value("zoom")))
    with st.expander("Numbers as a table"):
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
            for panel in answer.panels
            if panel.perturbed
        ]
        show_table(pd.DataFrame(rows), "stability-numbers")


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
    cells = st.columns([2, 1.4, 3, 1.6], vertical_alignment="bottom")
    metric = cells[0].selectbox("Metric", list(SIMILARITIES), format_func=SIMILARITIES.__getitem__, key="lab_measure")
    images = cells[1].selectbox("Test images", IMAGES, key="lab_curve_images", help="The first n of the test split.")
    with cells[2]:
        strengths = number_list(
            "Strengths",
            [strength.default, 2 * strength.default, 4 * strength.default],
            key=f"lab_strengths/{entry.key}",
            kind=int if strength.type == "int" else float,
        )
        fields = FieldErrors()
        fields.show(f"/params/perturbation/params/{strength.name}")
    if cells[3].button(
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
    st.subheader("Over the test images")
    metric = start_evaluations(run_columns, attribution, entry, perturbation)
    evaluations = fetch_evaluations(run_columns)
    pending = unfinished(evaluations)
    if bool(pending) != refreshing:
        st.rerun(scope="app")  # starts or stops the refresh
    if pending:
        st.progress(
            sum(item.progress for item in pending) / len(pending),
            text=f"{counted(len(pending), 'evaluation')} queued or running",
        )
    by_run = {run: points(items, attribution, perturbation, entry.params[0].name) for run, items in evaluations.items()}
    if not any(by_run.values()):
        if not pending:
            st.info(
                "No evaluations of this method and perturbation yet. Choose strengths above and start them.",
                icon=":material/lightbulb:",
            )
        return
    clicked = live_chart(
        curves(metric, SIMILARITIES[metric], strength_label(entry), run_columns, by_run),
        key="stability",
        label=f"{SIMILARITIES[metric]} against the strength of {entry.label}",
        height=420,
        clickable=True,
    )
    st.caption(
        "Means with 95 % bootstrap intervals, stratified by class. Dotted and dashed: controls. Click a point to "
        "show its least stable images above."
    )
    with st.expander("Curves as a table"):
        show_table(pd.DataFrame(table(run_columns, by_run, metric)), "stability-curves")
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
link.read_view({"target": "predicted"})
show_pixel_values()
load_charts()
runs = choose_runs("the page shows the effect of a perturbation on the maps of each")
run_columns, names = columns(runs), class_names(runs)
fields = FieldErrors()
entry, perturbation = choose_perturbation(fields)
method, params, target = choose_maps(runs, names, fields)
samples = choose_images(runs, run_columns, fields)
if samples is not None:
    link_fields = {
        "params": non_default(method, params),
        "perturbation_params": non_default(entry, without_strength(entry, perturbation.params)),
    }
    link.write_view(link_fields)
    maps = request_maps(
        fields,
        runs=[column.run for column in run_columns],
        method=method.key,
        params=params,
        samples=samples,
        target=target,
        perturbation=perturbation,
    )
    if maps is not None:
        show(maps, method, run_columns, names, link_fields)
evaluating = bool(unfinished(fetch_evaluations(run_columns)))
fragment(run_every=REFRESH_SECONDS if evaluating else None)(show_curves)(
    run_columns, Component(key=method.key, params=params), entry, perturbation, refreshing=evaluating
)
