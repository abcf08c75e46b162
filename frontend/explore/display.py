"""The display options of maps."""

import streamlit as st

from densitylab.frontend.explore.link import CLIPS, LAYOUTS, MAX_ZOOM, key, put, value
from densitylab.frontend.maps.render import DIVERGING, SEQUENTIAL, SIGNS
from densitylab.frontend.maps.view import Display

_SIGN_LABELS = {
    "signed": "signed",
    "positive": "positive only",
    "negative": "negative only",
    "magnitude": "magnitude",
}


def choose_display(*, signed: bool, has_mask: bool) -> Display:
    """Draw the controls below each other."""
    sign = st.selectbox(
        "Sign",
        SIGNS,
        key=key("sign"),
        format_func=_SIGN_LABELS.__getitem__,
        disabled=not signed,
        help=None if signed else "The maps of this method are not signed.",
    )
    diverging = signed and sign == "signed"
    palettes = list(DIVERGING if diverging else SEQUENTIAL)
    if value("palette") not in palettes:
        put("palette", palettes[0])
    palette_cell, clip_cell = st.columns(2)
    palette = palette_cell.selectbox("Palette", palettes, key=key("palette"))
    clip = clip_cell.selectbox(
        "Clip at",
        CLIPS,
        key=key("clip"),
        format_func=_percentile,
        help="Percentile of the absolute values of all maps at which the colours end. Lower values show weaker maps.",
    )
    opacity = st.slider("Opacity", 0.0, 1.0, step=0.05, key=key("opacity"), help="Of the map over its image.")
    st.slider("Size", 1, MAX_ZOOM, key=key("zoom"), help="Screen pixels per image pixel")
    outlined = st.checkbox("Outline the null region", key=key("outline"), disabled=not has_mask)
    own_scale = st.checkbox(
        "One scale per run", key=key("own_scale"), help="Colours are then not comparable between runs."
    )
    return Display(sign if signed else "signed", palette, clip, opacity, outlined and has_mask, own_scale)


def choose_layout(labels: list[str], runs: list[int]) -> int | None:
    """Draw the choice of the layout; return the column to show, None for all side by side."""
    if len(runs) < 2:
        return None
    layout = st.segmented_control("Runs", LAYOUTS, key=key("layout"), required=True)
    if layout == LAYOUTS[0]:
        return None
    if value("at") not in runs:
        put("at", runs[0])
    chosen = st.select_slider("Run", runs, key=key("at"), format_func=lambda run: labels[runs.index(run)])
    return runs.index(chosen)


def _percentile(clip: float) -> str:
    return "maximum" if clip == 100 else f"{clip:g} %"
