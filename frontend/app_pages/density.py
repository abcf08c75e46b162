"""log p along a line and on a plane through an image, for several runs."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts import Density, DensityRequest, Status
from densitylab.frontend.analysis.formatting import escaped, number
from densitylab.frontend.charts.density import AXIS, change_at, line_chart, plane_chart, plane_limit, reading
from densitylab.frontend.explore import link
from densitylab.frontend.explore.drawing import wait_for
from densitylab.frontend.explore.images import choose_images
from densitylab.frontend.explore.pictures import StoredImage, distance_between, stored_images
from densitylab.frontend.explore.runs import choose_runs, class_names, columns
from densitylab.frontend.maps.picture import images_html, picture
from densitylab.frontend.maps.render import image_pixels
from densitylab.frontend.maps.saliency_panels import color_scale_html
from densitylab.frontend.maps.view import RunColumn
from densitylab.frontend.ui.api import api, show_api_errors
from densitylab.frontend.ui.chart_card import show_table, table_icon
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.live_chart import live_chart, load_charts

IMAGE_WIDTH, PLANE_WIDTH = 112, 300  # screen pixels
Direction = Literal["gradient", "random", "image"]
_DIRECTIONS: dict[Direction, str] = {
    "gradient": "each run's ∇ log p(x)",
    "random": "random, the same for all runs",
    "image": "towards another image",
}


def choose_direction(fields: FieldErrors) -> tuple[Direction, int | None, float]:
    """Return the direction, the other image, and the range."""
    with st.sidebar.expander("Direction", expanded=True):
        direction = st.selectbox(
            "Direction", list(_DIRECTIONS), key=link.key("direction"), format_func=_DIRECTIONS.__getitem__
        )
        towards = None
        if direction == "image":
            towards = st.number_input("Other image", 0, 2**31 - 1, key=link.key("towards"), placeholder="index")
        extent = st.slider(
            "Range (L2)",
            0.1,
            link.MAX_EXTENT,
            step=0.1,
            key=link.key("extent"),
            help="Distance in both directions, in [0, 1] pixel units. Pixels are not clamped.",
        )
        fields.show("/direction", "/towards", "/extent")
    return direction, towards, extent


def show_images(
    images: Mapping[int, StoredImage], titles: Mapping[int, str], class_names: Sequence[str], distance: float | None
) -> None:
    """Draw the images that are stored; offer a range that reaches the other one."""
    pictures = [
        picture(
            image_pixels(images[index].pixels),
            width=IMAGE_WIDTH,
            cell=IMAGE_WIDTH,
            name=title,
            description=title,
            lines=[label_text(images[index].label, class_names)],
        )
        for index, title in titles.items()
        if index in images
    ]
    if pictures:
        st.html(images_html(pictures))
    extent = link.value("extent")
    if distance is None or distance <= extent:
        return
    other = [*titles.values()][-1].capitalize()
    reach = math.ceil(10 * distance) / 10
    if reach > link.MAX_EXTENT:
        st.caption(f"{other} is at L2 {distance:.3g}, beyond the largest range.")
        return
    st.caption(f"{other} is at L2 {distance:.3g}, beyond the range.")
    st.button(f"Extend the range to {reach:g}", on_click=link.put, args=("extent", reach), width="stretch")


def label_text(label: int | None, class_names: Sequence[str]) -> str:
    """Return the class of an image in words; empty for an uploaded one."""
    if label is None:
        return ""
    return f"label {class_names[label] if label < len(class_names) else label}"


def show_planes(density: Density, run_columns: Sequence[RunColumn]) -> None:
    """Draw the planes and, behind an icon, the numbers."""
    st.caption(
        "log p − log p(x) on the plane of the direction and an orthogonal random one, on one scale for all runs: red "
        "is higher than at the image, blue lower. The cross marks the image."
    )
    limit = plane_limit(density)
    st.html(color_scale_html(f"{limit:.3g}", signed=True))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for column in run_columns:
            with st.container(width=PLANE_WIDTH, gap="xxsmall"):
                st.markdown(escaped(column.label))
                live_chart(
                    plane_chart(density, column.run, limit),
                    key=f"density-plane-{column.run}",
                    height=PLANE_WIDTH,
                    label=f"log p of {column.label} on the plane of the direction and an orthogonal random direction",
                )
    by_run = {item.run: item for item in density.of_runs}

    def show_numbers() -> None:
        st.dataframe(
            [
                {"run": column.run, "settings": column.label, "‖∇ log p(x)‖": number(by_run[column.run].slope)}
                for column in run_columns
            ],
            hide_index=True,
        )
        curves = {AXIS: density.distances, **{column.label: by_run[column.run].curve for column in run_columns}}
        show_table(pd.DataFrame(curves), "density-curves")

    table_icon(show_numbers, key="density-table")


def show_line(
    density: Density, run_columns: Sequence[RunColumn], titles: Sequence[str], distance: float | None
) -> None:
    """Draw what the curves say, and the curves, with the images on the line marked.

    Args:
        density: of the runs.
        run_columns: the runs' columns.
        titles: of the image and, if there is one, of the other image.
        distance: between them, if both are stored.
    """
    marks, sentences = {titles[0]: 0.0}, [reading(density, run_columns, titles[0])]
    if distance is not None and distance <= density.request.extent:
        marks[titles[1]] = distance
        sentences.append(change_at(density, run_columns, distance, titles))
    st.markdown(escaped(" ".join(sentences)))
    live_chart(
        line_chart(density, run_columns, marks),
        key="density-line",
        height=310,
        label="log p along the direction, relative to the image, for each run",
    )
    st.caption(
        "One scale for all runs. log p is known only up to a constant per run, so the chart shows its difference from "
        "the image's value."
    )


st.title("Density")
opened = link.read_view()
load_charts()
runs = choose_runs("the page draws log p around the same image for each, on one scale", opened=opened)
run_columns, names = columns(runs), class_names(runs)
fields = FieldErrors()
samples = choose_images(runs, run_columns, fields, one=True)
direction, towards, extent = choose_direction(fields)
if samples is None:
    st.stop()
link.write_view()
if direction == "image" and towards is None:
    st.info("Choose the other image.", icon=":material/lightbulb:")
    st.stop()
origin = "uploaded" if samples.split == "upload" else samples.split
indices = [samples.indices[0], *([] if towards is None else [towards])]
titles = [f"{origin} image {index}" for index in indices]
st.header(f"Around {titles[0]}" if towards is None else f"From {titles[0]} towards {titles[1]}")
with show_api_errors(fields):
    density = api().slice_density(
        DensityRequest(
            runs=[column.run for column in run_columns],
            split=samples.split,
            index=indices[0],
            direction=direction,
            towards=towards,
            extent=extent,
        )
    )
    images = stored_images(runs[0], samples.split, indices)
    distance = None if towards is None else distance_between(images, *indices)
    chart, pictures = st.columns([5, 1], gap="medium")
    with pictures:
        show_images(images, dict(zip(indices, titles, strict=True)), names, distance)
    if density.status is Status.SUCCEEDED:
        with chart:
            show_line(density, run_columns, titles, distance)
        show_planes(density, run_columns)
    else:
        with chart:
            wait_for(api().density, density.id, "slices of log p")
