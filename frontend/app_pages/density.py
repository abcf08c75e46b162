"""log p along a line and on a plane through an image, for several runs."""

from collections.abc import Sequence
from typing import Literal

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts import Density, DensityRequest, Status
from densitylab.frontend.analysis.formatting import number
from densitylab.frontend.charts.density import AXIS, line_chart, plane_chart
from densitylab.frontend.explore import link
from densitylab.frontend.explore.drawing import wait_for
from densitylab.frontend.explore.images import choose_images
from densitylab.frontend.explore.runs import choose_runs, columns
from densitylab.frontend.maps.view import RunColumn
from densitylab.frontend.ui.api import api, show_api_errors
from densitylab.frontend.ui.chart_card import show_table
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.live_chart import live_chart, load_charts

Direction = Literal["gradient", "random", "image"]
_DIRECTIONS: dict[Direction, str] = {
    "gradient": "each run's ∇ log p(x)",
    "random": "random, the same for all runs",
    "image": "towards another image",
}


def choose_direction(fields: FieldErrors) -> tuple[Direction, int | None, float]:
    """Return the direction, the other image, and the range."""
    cells = st.columns([3, 2, 4], vertical_alignment="bottom")
    direction = cells[0].selectbox(
        "Direction", list(_DIRECTIONS), key=link.key("direction"), format_func=_DIRECTIONS.__getitem__
    )
    towards = None
    if direction == "image":
        towards = cells[1].number_input("Other image", 0, 2**31 - 1, key=link.key("towards"), placeholder="index")
    extent = cells[2].slider(
        "Range (L2)",
        0.1,
        link.MAX_EXTENT,
        step=0.1,
        key=link.key("extent"),
        help="Distance in both directions, in [0, 1] pixel units. Pixels are not clamped.",
    )
    fields.show("/direction", "/towards", "/extent")
    return direction, towards, extent


def show(density: Density, run_columns: Sequence[RunColumn]) -> None:
    """Draw the curves and the planes with their numbers."""
    live_chart(
        line_chart(density, run_columns),
        key="density-line",
        height=380,
        label="log p along the direction, relative to the image, for each run",
    )
    st.caption(
        "One scale for all runs. log p is known only up to a constant per run, so the chart shows its difference from "
        "the image's value."
    )
    live_chart(
        plane_chart(density, run_columns),
        key="density-plane",
        height=380,
        label="log p on the plane of the direction and an orthogonal random direction, for each run",
    )
    st.caption("The direction and an orthogonal random direction; the cross marks the image.")
    by_run = {item.run: item for item in density.of_runs}
    st.dataframe(
        [
            {"run": column.run, "settings": column.label, "‖∇ log p(x)‖": number(by_run[column.run].slope)}
            for column in run_columns
        ],
        hide_index=True,
    )
    with st.expander("Curves as a table"):
        curves = {AXIS: density.distances, **{column.label: by_run[column.run].curve for column in run_columns}}
        show_table(pd.DataFrame(curves), "density-curves")


st.title("Density")
link.read_view()
load_charts()
runs = choose_runs("the page draws log p around the same image for each, on one scale")
run_columns = columns(runs)
fields = FieldErrors()
direction, towards, extent = choose_direction(fields)
samples = choose_images(runs, run_columns, fields, one=True)
if samples is None:
    st.stop()
link.write_view()
if direction == "image" and towards is None:
    st.info("Choose the other image.", icon=":material/lightbulb:")
    st.stop()
title = f"{'uploaded' if samples.split == 'upload' else samples.split} image {samples.indices[0]}"
st.subheader(f"Around {title}")
with show_api_errors(fields):
    density = api().slice_density(
        DensityRequest(
            runs=[column.run for column in run_columns],
            split=samples.split,
            index=samples.indices[0],
            direction=direction,
            towards=towards,
            extent=extent,
        )
    )
    if density.status is Status.SUCCEEDED:
        show(density, run_columns)
    else:
        wait_for(api().density, density.id, "slices of log p")
