"""A slider over λ: every frame is in the browser, so a move is painted at once."""

import functools
from collections.abc import Sequence
from typing import Any

import streamlit as st

from densitylab.frontend.assets import read_asset
from densitylab.frontend.maps.lambda_frames import HEADS, Frame


@functools.cache
def _component() -> Any:
    return st.components.v2.component(
        "densitylab_lambda_slider",
        html='<div class="densitylab-lambda"></div>',
        css=read_asset("ui/lambda_slider/lambda_slider.css"),
        js=read_asset("ui/lambda_slider/lambda_slider.js"),
        isolate_styles=False,
    )


def lambda_slider(frames: Sequence[Frame], *, start: int, width: int, height: int, mask: str | None) -> None:
    """Draw the frame of one run, and a slider that ← and → move too.

    Args:
        frames: in order of λ.
        start: index of the frame to begin with; later the one that the user has moved to.
        width, height: of a picture, in screen pixels.
        mask: URL of the null region's outline over image and maps; None: there is none.
    """
    data = {
        "frames": [frame.as_json() for frame in frames],
        "heads": HEADS,
        "start": start,
        "width": width,
        "height": height,
        "mask": mask,
    }
    _component()(key="densitylab_lambda_slider", data=data)  # as high as the pictures, which wrap
