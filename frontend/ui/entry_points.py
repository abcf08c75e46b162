"""Streamlit's ways into the page's code beside the script itself; each shows an error of the API as a sentence."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import streamlit as st

from densitylab.frontend.ui.api import show_api_errors

Params = ParamSpec("Params")


def guarded(function: Callable[Params, Any]) -> Callable[Params, None]:
    """Decorate a callback of a widget that sends a request."""

    @wraps(function)
    def call(*args: Params.args, **kwargs: Params.kwargs) -> None:
        with show_api_errors():
            function(*args, **kwargs)

    return call


def fragment(run_every: float | None = None) -> Callable[[Callable[Params, Any]], Callable[Params, None]]:
    """Decorate a part of a page that reruns alone.

    Args:
        run_every: seconds between two reruns; None: only after an input of the part.
    """

    def decorate(function: Callable[Params, Any]) -> Callable[Params, None]:
        @wraps(function)
        def draw(*args: Params.args, **kwargs: Params.kwargs) -> None:
            with show_api_errors(retrying=run_every is not None):
                function(*args, **kwargs)

        return st.fragment(run_every=run_every)(draw)

    return decorate


def dialog(title: str) -> Callable[[Callable[Params, Any]], Callable[Params, None]]:
    """Decorate a dialog with this title."""
    return lambda function: st.dialog(title)(guarded(function))
