"""Form of the images that the network expects: normalisation, order of channels, range of values, size."""

import math
from collections.abc import Sequence
from typing import Any

import streamlit as st

from densitylab.frontend.ui.field_errors import FieldErrors, problem
from densitylab.frontend.ui.widgets import numbers_text

FOUND, GIVEN = "found", "given"
_CHOICES = {
    FOUND: "found by the normalisation check",
    "imagenet": "ImageNet's mean and deviation",
    "dataset": "the data set's mean and deviation",
    "half": "mean and deviation 0.5",
    "none": "none",
    GIVEN: "other mean and deviation",
}
_ORDERS = {"rgb": "RGB", "bgr": "BGR"}
_RANGES = {"unit": "0 to 1", "byte": "0 to 255"}


def draw_normalization(channels: int, key: str, errors: FieldErrors) -> dict[str, Any] | None:
    """Draw the choice of the normalisation; return the request's fields, or None while one cannot be read."""
    choice = st.selectbox(
        "Image normalisation",
        [name for name in _CHOICES if name != "imagenet" or channels == 3],
        key=f"{key}/normalization",
        persist_state="page",
        format_func=_CHOICES.__getitem__,
        help="The check evaluates the network on validation images under each of the usual normalisations, in RGB and "
        "BGR, for values from 0 to 1 and from 0 to 255, and takes the best.",
    )
    errors.show("/normalization")
    if choice == FOUND:
        return {}
    fields: dict[str, Any] = {} if choice == GIVEN else {"normalization": choice}
    if choice == GIVEN:
        for cell, name, label, value in zip(
            st.columns(2),
            ("mean", "std"),
            ("Mean of each channel", "Deviation of each channel"),
            (0.5, 0.25),
            strict=True,
        ):
            with cell:
                numbers = _channel_numbers(label, [value] * channels, f"{key}/{name}")
                errors.show(f"/{name}")
                if numbers is None:
                    return None
                fields[name] = numbers
    order_cell, range_cell = st.columns(2)
    if channels == 3:
        with order_cell:
            fields["channel_order"] = st.selectbox(
                "Order of the channels",
                list(_ORDERS),
                key=f"{key}/channel-order",
                persist_state="page",
                format_func=_ORDERS.__getitem__,
            )
            errors.show("/channel_order")
    with range_cell:
        fields["value_range"] = st.selectbox(
            "Range of the values",
            list(_RANGES),
            key=f"{key}/value-range",
            persist_state="page",
            format_func=_RANGES.__getitem__,
            help="Mean and deviation are on this scale.",
        )
        errors.show("/value_range")
    return fields


def _channel_numbers(label: str, values: list[float], key: str) -> list[float] | None:
    """Draw a text field for a number per channel; return None, with an error below, where it cannot be read."""
    text = st.text_input(label, numbers_text(values), key=key, persist_state="page")
    try:
        numbers = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) != len(values) or not all(map(math.isfinite, numbers)):
        problem(f"write a number for each channel, {len(values)} in all, separated by commas")
        return None
    return numbers


def draw_image_size(own: Sequence[int] | None, key: str, errors: FieldErrors) -> dict[str, Any] | None:
    """Draw the network's input size; return the request's field, or None while one of its sides is missing.

    Args:
        own: (height, width) of the data set's images.
        key: prefix of the widgets' keys.
        errors: of the last request.
    """
    unchanged = [str(side) for side in own] if own else ["as they are"] * 2
    sides: list[int | None] = []
    for cell, name, as_is in zip(st.columns(2), ("height", "width"), unchanged, strict=True):
        with cell:
            sides.append(
                st.number_input(
                    f"Input {name}",
                    4,
                    1024,
                    None,
                    key=f"{key}/{name}",
                    persist_state="page",
                    placeholder=as_is,
                    help="Images are resized to the network's input size. Empty: the data set's size.",
                )
            )
    errors.show("/image_size")
    height, width = sides
    if (height is None) != (width is None):
        problem("give both height and width, or neither")
        return None
    return {} if height is None else {"image_size": [height, width]}
