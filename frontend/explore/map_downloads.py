"""The download buttons of maps: the figure as PNG and SVG, and the arrays."""

from collections.abc import Callable

import streamlit as st

from densitylab.frontend.maps.paper_figure import Figure


def show_map_downloads(name: str, figure: Callable[[], Figure], arrays: bytes) -> None:
    """Draw three buttons; a click on the first two draws the figure.

    Args:
        name: of the files.
        figure: draws the figure.
        arrays: the NPZ file of the API.
    """
    with st.container(horizontal=True):
        st.download_button(
            "PNG",
            lambda: figure().png(),
            f"{name}.png",
            "image/png",
            icon=":material/image:",
            on_click="ignore",
            help="The figure as an image",
        )
        st.download_button(
            "SVG",
            lambda: figure().svg(),
            f"{name}.svg",
            "image/svg+xml",
            icon=":material/polyline:",
            on_click="ignore",
            help="The figure as vector graphics, for a paper",
        )
        st.download_button(
            "NPZ",
            arrays,
            f"{name}.npz",
            "application/octet-stream",
            icon=":material/data_array:",
            on_click="ignore",
            help="The arrays: images, masks, maps and predictions",
        )
