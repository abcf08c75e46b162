"""The launch form's part on regularizers: λ and seeds, the λ schedule, and other regularizers to compare with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.launch_form.context import FormContext
from densitylab.frontend.launch_form.suggestion import draw_suggestion
from densitylab.frontend.launch_form.sweeps import Grid, Method, log_spaced
from densitylab.frontend.ui.field_errors import problem
from densitylab.frontend.ui.widgets import number_list, numbers_text, parameters


@dataclass(frozen=True)
class Regularization:
    """The form's choices; None stands for a list that cannot be read."""

    components: dict[str, Any]  # regularizer and schedule, as the spec has them
    lambdas: list[float] | None
    seeds: list[float] | None
    methods: list[Method] | None


def draw_regularization(
    form: FormContext, grid: Grid, methods: list[Method], data_and_model: Mapping[str, Any]
) -> Regularization:
    """Draw the main regularizer with its λ and seeds, and the others below."""
    regularizer_cell, lambda_cell = st.columns([3, 2])
    with regularizer_cell:
        regularizer = form.component("regularizer", "Regularizer")
    with lambda_cell:
        lambdas = number_list(
            "λ (penalty weights)",
            grid["lambda_"],
            key=f"{form.key}/lambda",
            help="One run per value; separate values by commas. 0 is the baseline without regularization. "
            "Powers of ten are a good start. λ of different networks, data sets, regularizers, norms or powers are not "
            "comparable.",
        )
        form.errors.show("/spec/lambda_", "/sweep/lambda_", "/sweep/0/lambda_")
        _draw_log_spaced(form.key)
        draw_suggestion(form, {**data_and_model, "regularizer": regularizer}, lambdas or [])
        seeds = number_list(
            "Seeds",
            grid["seed"],
            key=f"{form.key}/seeds",
            kind=int,
            help="Each λ is trained once per seed. Intervals over seeds need at least two; use three or more.",
        )
        form.errors.show("/spec/seed", "/sweep/seed", "/sweep/0/seed")
        schedule = form.component("schedule", "λ schedule")
    others = _draw_methods(form, regularizer["key"], methods, lambdas or [0.1])
    return Regularization({"regularizer": regularizer, "schedule": schedule}, lambdas, seeds, others)


def _draw_log_spaced(key: str) -> None:
    """Draw the popover that fills the list of λ with log-spaced values."""
    with st.popover("Log-spaced λ", icon=":material/linear_scale:"):
        low = st.number_input(
            "From", 0.0, value=0.01, format="%g", step=0.01, key=f"{key}/spaced/low", persist_state="page"
        )
        high = st.number_input(
            "To", 0.0, value=1.0, format="%g", step=0.1, key=f"{key}/spaced/high", persist_state="page"
        )
        count = st.number_input("Number of values", 2, 50, 3, key=f"{key}/spaced/count", persist_state="page")
        with_zero = st.checkbox("Include 0, the baseline", True, key=f"{key}/spaced/zero", persist_state="page")
        try:
            values = numbers_text(log_spaced(low, high, int(count), with_zero=with_zero))
        except ValueError as error:
            problem(str(error))
            return
        st.caption(values)
        st.button(
            "Use these values",
            key=f"{key}/spaced/take",
            icon=":material/check:",
            on_click=st.session_state.__setitem__,
            args=(f"{key}/lambda", values),
        )


def _draw_methods(form: FormContext, main_key: str, methods: list[Method], lambdas: list[float]) -> list[Method] | None:
    """Draw further regularizers, each with its own λ; return None while a list cannot be read."""
    given = {method.component["key"]: method for method in methods}
    entries = [entry for entry in form.catalog.entries("regularizer") if entry.key != main_key]
    picked = st.multiselect(
        "Compare with other regularizers",
        entries,
        [entry for entry in entries if entry.key in given],
        key=f"{form.key}/methods",
        persist_state="page",
        format_func=lambda entry: entry.label,
        placeholder="none",
        help="Each is trained in the same experiment with the same seeds and its own λ.",
    )
    drawn: list[Method] = []
    for number, entry in enumerate(picked, start=1):
        method, at = given.get(entry.key), f"/sweep/{number}"
        with st.container(border=True):
            st.markdown(f"**{escaped(entry.label)}**")
            # A regularizer without parameters has no penalty to weigh
            values: list[float] | None = [0.0]
            if entry.params:
                values = number_list(
                    "λ", method.lambdas if method else lambdas, key=f"{form.key}/methods/{entry.key}/lambda"
                )
                form.errors.show(f"{at}/lambda_")
            params = parameters(
                form.catalog,
                entry,
                method.component["params"] if method else {},
                key=f"{form.key}/methods/{entry.key}",
                at=f"{at}/regularizer/0/params",
                errors=form.errors,
            )
            form.errors.show(at)
        if values is None:
            return None
        drawn.append(Method({"key": entry.key, "params": params}, values))
    return drawn
