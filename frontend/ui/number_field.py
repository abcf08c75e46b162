"""A number input whose value is always the number that it shows."""

from typing import Any

import streamlit as st


def number_field(
    label: str,
    value: float | None,
    *,
    key: str,
    whole: bool = False,
    step: float = 1.0,
    help: str | None = None,
    placeholder: str | None = None,
) -> Any:
    """Draw the input; return its number, an int where it has no decimals and `whole` numbers are expected.

    The browser gets no bounds. With bounds Streamlit shows a number that lies outside of them and keeps the last one
    that did not, which a click on Launch would then send. Here every number arrives, and who takes it checks it.
    For the same reason the browser does not cut decimals off: 1.5 epochs arrive as 1.5.

    Args:
        label: of the input.
        value: start value; None: empty. An input with a start value that is emptied shows the start value again.
        key: of the widget.
        whole: whether a whole number is expected.
        step: of the buttons.
        help: a tooltip.
        placeholder: shown while the input is empty.
    """
    number = st.number_input(
        label,
        value=None if value is None else float(value),
        step=float(step),
        format="%g",
        key=key,
        persist_state="page",
        help=help,
        placeholder=placeholder,
    )
    return int(number) if whole and number is not None and number.is_integer() else number
