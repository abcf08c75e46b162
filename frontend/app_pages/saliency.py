"""Saliency maps of the same images for several runs, on one colour scale."""

from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from densitylab.backend.shared.contracts import CatalogEntry
from densitylab.frontend.analysis.formatting import counted
from densitylab.frontend.explore import link
from densitylab.frontend.explore.display import choose_display, choose_layout
from densitylab.frontend.explore.drawing import map_file, request_maps
from densitylab.frontend.explore.images import choose_images
from densitylab.frontend.explore.map_downloads import show_map_downloads
from densitylab.frontend.explore.methods import choose_maps, non_default, score_name
from densitylab.frontend.explore.probe import show_pixel_values
from densitylab.frontend.explore.runs import choose_runs, class_names, columns
from densitylab.frontend.maps.paper_figure import saliency_figure
from densitylab.frontend.maps.render import read_maps
from densitylab.frontend.maps.saliency_panels import saliency_html, scale_html
from densitylab.frontend.maps.view import MapView, leakage_text, prediction_text
from densitylab.frontend.ui.api import show_api_errors
from densitylab.frontend.ui.chart_card import show_table, table_icon
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.field_errors import FieldErrors


@fragment()
def choose_and_draw(
    maps: MapView, content: bytes, method: CatalogEntry, link_fields: dict[str, Any], places: list[DeltaGenerator]
) -> None:
    """Draw the display options and the downloads here, and scale, legend and maps in their places; a change of an
    option redraws these alone."""
    with st.expander("Display", key="display-options"):
        display = choose_display(signed=method.signed, has_mask=maps.maps.masks is not None)
    only = choose_layout([column.label for column in maps.columns], [column.run for column in maps.columns])
    link.write_view(link_fields)
    view = replace(maps, display=display)
    title = f"{method.label}, {counted(len(view.columns), 'run')}"
    show_map_downloads("saliency", lambda: saliency_figure(view, title), content)
    scale, legend, cards = places
    scale.html(scale_html(view))
    legend.caption(legend_text(view, score_name(method)))
    cards.html(saliency_html(view, link.value("zoom"), only=only, pinned=link.value("pin"), probe=True))


def legend_text(view: MapView, score: str) -> str:
    """Return the meaning of the colours and of the leakage below each map."""
    meaning = view.color_meaning(score)
    if view.display.own_scale:
        scale = "**One scale per run**: colours are not comparable between runs"
    else:
        scale = f"**One scale for all maps: {'±' if view.diverging else '0 to '}{view.limit():.3g}**"
    text = f"**{meaning[0].upper()}{meaning[1:]}.** {scale}, {view.limit_words()}; larger values clipped."
    if view.maps.masks is None:
        return text
    return (
        f"{text} Leak: L2 norm of the map on the null region (dashed), which does not depend on the label, and its "
        f"share of the squared map (chance {view.chance_text()})."
    )


def show_numbers(view: MapView) -> None:
    """Draw the numbers of the maps as a table behind an icon."""
    rows = [
        {
            "image": panel.index,
            "run": panel.run,
            "label": view.class_name(panel.label),
            "prediction": prediction_text(view, panel, panel.label),
            "leakage": panel.leakage,
            "share": panel.leakage_share,
            "log p": panel.log_density,
            "summary": leakage_text(panel),
        }
        for panel in view.answer.panels
    ]
    table_icon(
        lambda: show_table(pd.DataFrame(rows), "saliency-numbers"),
        key="saliency-table",
        label="The numbers of the maps as a table",
    )


st.title("Saliency")
opened = link.read_view()
show_pixel_values()
runs = choose_runs("the page shows their maps of the same images side by side, on one colour scale", opened=opened)
run_columns, names = columns(runs), class_names(runs)
fields = FieldErrors()
samples = choose_images(runs, run_columns, fields)
method, params, target = choose_maps(runs, names, fields)
if samples is None:
    st.stop()
link_fields = {"params": non_default(method, params)}
link.write_view(link_fields)
answer = request_maps(
    fields,
    runs=[column.run for column in run_columns],
    method=method.key,
    params=params,
    samples=samples,
    target=target,
)
if answer is not None:
    with show_api_errors():
        content = map_file(answer.id)
        view = MapView(answer, read_maps(content), run_columns, names, method.signed, method.label)
        scale, legend = st.columns([2, 5], vertical_alignment="center")
        places = [scale.empty(), legend.empty(), st.empty()]
        with st.sidebar:
            choose_and_draw(view, content, method, link_fields, places)
        show_numbers(view)
