"""One image under every λ of a method: its map, the gradient of log p(x), an attack and the leakage, by a slider."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import MAX_RUNS_PER_ATTRIBUTION
from densitylab.frontend.explore.drawing import map_file, request_maps
from densitylab.frontend.explore.lambda_runs import (
    attacked_with,
    choose_runs_over_lambda,
    in_link,
    results_text,
    write_link,
)
from densitylab.frontend.explore.runs import class_names
from densitylab.frontend.maps.lambda_frames import frames, mask_url
from densitylab.frontend.maps.render import read_maps
from densitylab.frontend.maps.view import MapView, RunColumn
from densitylab.frontend.ui.api import api, show_api_errors
from densitylab.frontend.ui.field_errors import FieldErrors
from densitylab.frontend.ui.lambda_slider.lambda_slider import lambda_slider
from densitylab.frontend.ui.query_params import query_ints

_WIDTH, _HEIGHT = 240, 300  # screen pixels of a picture, at most: four stand side by side


def views(columns: Sequence[RunColumn], names: Sequence[str], method: str, **parts: Any) -> list[MapView] | None:
    """Return the maps of all runs, of at most six in each view; None while they are computed or where they are
    refused, which the page shows."""
    shown = []
    for first in range(0, len(columns), MAX_RUNS_PER_ATTRIBUTION):
        some = columns[first : first + MAX_RUNS_PER_ATTRIBUTION]
        answer = request_maps(
            FieldErrors(), runs=[column.run for column in some], method=method, target="label", **parts
        )
        if answer is None:
            return None
        shown.append(MapView(answer, read_maps(map_file(answer.id)), some, names, True, method))
    return shown


st.title("λ slider")
runs, columns = choose_runs_over_lambda()
with st.sidebar:
    size = api().dataset(runs[0].spec.dataset.key).sizes.get("test", 1)
    linked = next(iter(query_ints("image")), 0)
    image = st.number_input(
        "Test image", 0, size - 1, key=in_link("image", min(linked, size - 1)), on_change=write_link, args=("image",)
    )
    epsilon = st.number_input(
        "Attack, L∞ ε",
        0.0,
        1.0,
        attacked_with(runs[-1]),
        0.01,
        format="%.4g",
        help="On the [0, 1] pixel scale; 10 steps away from the label.",
    )
st.caption("One test image under the runs that differ in λ alone. ← and → move the slider.")
samples = {"indices": [image]}
names = class_names(runs)
with show_api_errors():
    attack = {"key": "attack", "params": {"epsilon": epsilon}}
    gradient = views(columns, names, "gradient", samples=samples, perturbation=attack)
    density = views(columns, names, "log_density", samples=samples) if gradient is not None else None
    if gradient is not None and density is not None:
        height, width = gradient[0].maps.images.shape[-2:]
        zoom = max(1, min(_WIDTH // width, _HEIGHT // height))
        lambda_slider(
            frames(gradient, density, [results_text(run) for run in runs]),
            start=0,
            width=width * zoom,
            height=height * zoom,
            mask=mask_url(gradient[0]),
        )
        st.caption(
            "Red raises the score, blue lowers it; one colour scale for each kind of map over all λ, which ends at the "
            "99th percentile of its absolute values. Leak: L2 norm of the map on the null region, and its share."
        )
