"""How the maps are drawn: controls that change no map."""

import streamlit as st

from frontend.lab.link import CLIPS, LAYOUTS, MAX_ZOOM, key, put, value
from frontend.maps import DIVERGING, SEQUENTIAL, SIGNS
from frontend.panels import Display

_SIGN_WORDS = {"signed": "raise and lower", "positive": "only what raises", "negative": "only what lowers",
               "magnitude": "magnitude"}


def choose_display(*, signed: bool, has_mask: bool) -> Display:
    """One row of controls."""
    cells = st.columns([2, 2, 1.6, 1.8, 1.8, 2.4], vertical_alignment="bottom")
    sign = cells[0].selectbox("Sign", SIGNS, key=key("sign"), format_func=_SIGN_WORDS.get, disabled=not signed,
                              help=None if signed else "This method's maps have no signs.")
    diverging = signed and sign == "signed"
    palettes = list(DIVERGING if diverging else SEQUENTIAL)
    if value("palette") not in palettes:
        put("palette", palettes[0])
    palette = cells[1].selectbox("Palette", palettes, key=key("palette"))
    clip = cells[2].selectbox("Clip at", CLIPS, key=key("clip"), format_func=_percentile,
                              help="The percentile of the absolute values of all maps at which the colours end: "
                                   "lower shows fainter maps.")
    opacity = cells[3].slider("Opacity", 0.0, 1.0, step=0.05, key=key("opacity"),
                              help="Of the map over its image.")
    cells[4].slider("Size", 1, MAX_ZOOM, key=key("zoom"), help="Screen pixels per image pixel")
    with cells[5]:
        outlined = st.checkbox("Outline the null part", key=key("outline"), disabled=not has_mask)
        own_scale = st.checkbox("Each run its own scale", key=key("own_scale"),
                                help="Then colours say nothing of how strong one run's map is beside another's.")
    return Display(sign if signed else "signed", palette, clip, opacity, outlined and has_mask, own_scale)


def choose_layout(labels: list[str], runs: list[int]) -> int | None:
    """The place of the one run on show; None for all side by side."""
    if len(runs) < 2:
        return None
    switch, slider = st.columns([2, 6], vertical_alignment="bottom")
    layout = switch.segmented_control("Runs", LAYOUTS, key=key("layout"), required=True)
    if layout == LAYOUTS[0]:
        return None
    if value("at") not in runs:
        put("at", runs[0])
    chosen = slider.select_slider("The run on show: move through them", runs, key=key("at"),
                                  format_func=lambda run: labels[runs.index(run)])
    return runs.index(chosen)


def _percentile(clip: float) -> str:
    return "the largest" if clip == 100 else f"{clip:g} %"
