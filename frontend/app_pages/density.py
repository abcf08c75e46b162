"""log p along a line and on a plane through an image, under several runs: what smoothing smooths."""

from collections.abc import Sequence

import streamlit as st

from backend.shared.contracts import Density, DensityRequest, Status
from frontend.client import ApiError
from frontend.density_charts import AXIS, line_chart, plane_chart
from frontend.lab import link
from frontend.lab.drawing import wait_for
from frontend.lab.images import choose_images
from frontend.lab.runs import choose_runs, columns
from frontend.live_chart import live_chart, load_charts
from frontend.panels import RunColumn
from frontend.parts import api, show_problem
from frontend.words import number

_DIRECTIONS = {"gradient": "each run's own ∇ log p(x)", "random": "a random direction, the same for all",
               "image": "towards another image"}


def choose_direction() -> tuple[str, int | None, float]:
    """(direction, the other image, the largest distance)."""
    cells = st.columns([3, 2, 4], vertical_alignment="bottom")
    direction = cells[0].selectbox("Direction", link.DIRECTIONS, key=link.key("direction"),
                                   format_func=_DIRECTIONS.get)
    towards = None
    if direction == "image":
        towards = cells[1].number_input("The other image", 0, key=link.key("towards"), placeholder="its number")
    extent = cells[2].slider("As far as", 0.1, link.MAX_EXTENT, step=0.1, key=link.key("extent"),
                             help="L2 length in [0, 1] pixel units, both ways. Pixels are not clamped on the way.")
    return direction, towards, extent


def show(density: Density, shown: Sequence[RunColumn]) -> None:
    """The curves, the planes, and their numbers."""
    live_chart(line_chart(density, shown), key="density-line", height=380,
               label="log p along the direction, relative to the image, for each run")
    st.caption("One scale for all runs; each run's log p is known up to a constant of its own, so what is drawn is "
               "its difference from the image at hand.")
    live_chart(plane_chart(density, shown), key="density-plane", height=380,
               label="log p on the plane of the direction and a random one at right angles, for each run")
    st.caption("The direction, and at right angles to it one drawn at random; the cross is the image.")
    by_run = {item.run: item for item in density.of_runs}
    st.dataframe([{"run": column.run, "settings": column.label, "‖∇ log p(x)‖": number(by_run[column.run].slope)}
                  for column in shown], hide_index=True)
    with st.expander("The curves as a table"):
        st.dataframe({AXIS: density.distances, **{column.label: by_run[column.run].curve for column in shown}})


st.title("Density")
link.adopt()
load_charts()
runs = choose_runs("log p around the same image is drawn for each, on one scale")
run_columns = columns(runs)
direction, towards, extent = choose_direction()
samples = choose_images(runs, run_columns, one=True)
if samples is None:
    st.stop()
link.write()
if direction == "image" and towards is None:
    st.info("Choose the other image.", icon=":material/lightbulb:")
    st.stop()
what = f"{'uploaded' if samples.split == 'upload' else samples.split} image {samples.indices[0]}"
st.subheader(f"Around {what}")
try:
    found = api().slice_density(DensityRequest(
        runs=[column.run for column in run_columns], split=samples.split, index=samples.indices[0],
        direction=direction, towards=towards, extent=extent))
except ApiError as error:
    show_problem(error)
    st.stop()
if found.status is Status.SUCCEEDED:
    show(found, run_columns)
else:
    wait_for(api().density, found.id, "slices of log p")
