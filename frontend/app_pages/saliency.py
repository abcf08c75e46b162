"""Saliency maps of the same images for several runs, on one colour scale."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts import Attribution, CatalogEntry
from densitylab.frontend.analysis.formatting import counted
from densitylab.frontend.explore import link
from densitylab.frontend.explore.display import choose_display, choose_layout
from densitylab.frontend.explore.drawing import map_file, request_maps
from densitylab.frontend.explore.images import choose_images
from densitylab.frontend.explore.map_downloads import show_map_downloads
from densitylab.frontend.explore.methods import choose_maps, non_default
from densitylab.frontend.explore.probe import show_pixel_values
from densitylab.frontend.explore.runs import choose_runs, class_names, columns
from densitylab.frontend.maps.paper_figure import saliency_figure
from densitylab.frontend.maps.render import read_maps
from densitylab.frontend.maps.saliency_panels import saliency_html, scale_html
from densitylab.frontend.maps.view import MapView, RunColumn, leakage_text, prediction_text
from densitylab.frontend.ui.chart_card import show_table
from densitylab.frontend.ui.entry_points import fragment
from densitylab.frontend.ui.field_errors import FieldErrors


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
    maps = read_maps(content)
    display = choose_display(signed=method.signed, has_mask=maps.masks is not None)
    only = choose_layout([column.label for column in run_columns], [column.run for column in run_columns])
    link.write_view(link_fields)
    view = MapView(answer, maps, run_columns, class_names, method.signed, method.label, display)
    scale, legend, downloads = st.columns([3, 5, 3], vertical_alignment="center")
    scale.html(scale_html(view))
    legend.caption(legend_text(view, method))
    with downloads:
        title = f"{method.label}, {counted(len(run_columns), 'run')}"
        show_map_downloads("saliency", lambda: saliency_figure(view, title), content)
    st.html(saliency_html(view, link.value("zoom"), only=only, pinned=link.value("pin"), probe=True))
    with st.expander("Numbers as a table"):
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
            for panel in answer.panels
        ]
        show_table(pd.DataFrame(rows), "saliency-numbers")


def legend_text(view: MapView, method: CatalogEntry) -> str:
    """Return the meaning of the colours and of the leakage below each map."""
    if view.display.own_scale:
        scale = "**One scale per run**: colours are not comparable between runs"
    else:
        scale = f"**One scale for all maps: {'±' if view.diverging else '0 to '}{view.limit():.3g}**"
    score = "the class score" if method.needs_target else "log p(x)"
    meaning = f"positive values raise {score}, negative values lower it" if view.diverging else "magnitudes"
    leak = ""
    if view.maps.masks is not None:
        leak = (
            " Leak: L2 norm of the map on the null block, and its share of the squared map "
            f"(chance {view.chance_text()})."
        )
    return f"{scale}, {view.limit_words()}; larger values clipped; {meaning}.{leak}"


st.title("Saliency")
link.read_view()
show_pixel_values()
runs = choose_runs("the page shows their maps of the same images side by side, on one colour scale")
run_columns, names = columns(runs), class_names(runs)
fields = FieldErrors()
method, params, target = choose_maps(runs, names, fields)
samples = choose_images(runs, run_columns, fields)
if samples is None:
    st.stop()
link_fields = {"params": non_default(method, params)}
link.write_view(link_fields)
maps = request_maps(
    fields,
    runs=[column.run for column in run_columns],
    method=method.key,
    params=params,
    samples=samples,
    target=target,
)
if maps is not None:
    show(maps, method, run_columns, names, link_fields)
