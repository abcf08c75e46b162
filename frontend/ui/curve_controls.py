"""The controls of the training curves of a page that refreshes itself. The curves stand below the results."""

from dataclasses import dataclass

import streamlit as st

from densitylab.frontend.charts.figures import X_LABELS, XAxis


@dataclass(frozen=True)
class Axes:
    """The axes of all training curves."""

    x: XAxis = "step"
    log_x: bool = False
    log_y: bool = False


def choose_axes() -> Axes:
    """Draw the controls of the axes."""
    return Axes(
        st.segmented_control("x-axis", list(X_LABELS), default="step", required=True, key="x", bind="query-params"),
        st.toggle("Log x", key="logx", bind="query-params"),
        st.toggle("Log y", key="logy", bind="query-params"),
    )


def is_paused() -> bool:
    """Return whether the refresh is paused; known before `choose_pause` is drawn."""
    return bool(st.session_state.get("pause"))


def choose_pause(paused: bool) -> None:
    """Draw the switch that pauses the refresh; a change reruns the whole page.

    Args:
        paused: by which the part of the page that refreshes itself was made.
    """
    if st.toggle("Pause", key="pause", help="Pauses automatic refresh.") != paused:
        st.rerun()
