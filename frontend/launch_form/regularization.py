"""The launch form's part on regularizers: λ and seeds, the λ schedule, and other regularizers to compare with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from densitylab.backend.shared.contracts import CatalogEntry
from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.launch_form.attack_epsilon import training_radii
from densitylab.frontend.launch_form.context import FormContext
from densitylab.frontend.launch_form.converted_lambda import draw_conversion
from densitylab.frontend.launch_form.sweeps import Grid, Method, log_spaced
from densitylab.frontend.ui.field_errors import problem
from densitylab.frontend.ui.number_field import number_field
from densitylab.frontend.ui.widgets import number_list, numbers_text, parameters


@dataclass(frozen=True)
class Regularization:
    """The form's choices; None stands for a list that cannot be read."""

    components: dict[str, Any]  # regularizer and schedule, as the spec has them
    lambdas: list[float] | None
    seeds: list[float] | None
    methods: list[Method] | None


@dataclass(frozen=True)
class Cells:
    """The places of the part."""

    regularizer: DeltaGenerator
    lambdas: DeltaGenerator
    seeds: DeltaGenerator
    settings: DeltaGenerator


def draw_regularization(
    form: FormContext,
    grid: Grid,
    methods: list[Method],
    data_and_model: Mapping[str, Any],
    cells: Cells,
    epsilon: float,
) -> Regularization:
    """Draw the main regularizer with its λ and seeds, and in the settings its parameters and the other regularizers.
    Those that train against attacks, and a λ schedule that does, begin with the radius `epsilon`."""
    radii = training_radii(form.catalog, "regularizer", epsilon)
    with cells.regularizer:
        regularizer = form.component(
            "regularizer", "Regularizer", settings=cells.settings, defaults=radii, keep_edits=True
        )
    with cells.lambdas:
        entry = form.catalog.entry("regularizer", regularizer["key"])
        lambdas = number_list(
            "λ (penalty weights)",
            grid["lambda_"],
            key=f"{form.key}/lambda",
            at="/spec/lambda_",
            errors=form.errors,
            help="One run per value; separate values by commas. 0 is the baseline without regularization. "
            f"{_first_sweep(entry)} λ of different networks, data sets, regularizers, norms or powers are not "
            "comparable.",
        )
        form.errors.show("/spec/lambda_", "/sweep/lambda_", "/sweep/0/lambda_")
        _offer_first_sweep(entry, lambdas, f"{form.key}/lambda")
    with cells.seeds:
        seeds = number_list(
            "Seeds",
            grid["seed"],
            key=f"{form.key}/seeds",
            kind=int,
            at="/spec/seed",
            errors=form.errors,
        )
        form.errors.show("/spec/seed", "/sweep/seed", "/sweep/0/seed")
    with cells.settings:
        st.caption("Each λ is trained once per seed. Intervals over seeds need at least two; use three or more.")
        with st.container(horizontal=True):
            _draw_log_spaced(form.key, entry)
            draw_conversion(form, {**data_and_model, "regularizer": regularizer}, lambdas or [])
        attacking = training_radii(form.catalog, "schedule", epsilon)
        schedule = form.component("schedule", "λ schedule", defaults=attacking, keep_edits=True)
        others = _draw_methods(form, regularizer["key"], methods, lambdas or [0.1], radii)
    return Regularization({"regularizer": regularizer, "schedule": schedule}, lambdas, seeds, others)


def _first_sweep(entry: CatalogEntry | None) -> str:
    """Return the advice for a first list of λ."""
    if entry is None or not entry.first_lambdas:
        return "Powers of ten are a good start."
    return f"For a first sweep with {entry.label}: {numbers_text(entry.first_lambdas)}. A search finds better ones."


def _offer_first_sweep(entry: CatalogEntry | None, lambdas: Sequence[float] | None, field: str) -> None:
    """Draw the button that fills the list of λ with those of a first sweep, unless the list has them; `field` is its
    key."""
    if entry is None or not entry.first_lambdas or set(entry.first_lambdas) <= set(lambdas or ()):
        return
    sweep = numbers_text([0.0, *entry.first_lambdas])
    st.button(
        f"First sweep: {sweep}",
        key=f"{field}/first",
        type="tertiary",
        icon=":material/check:",
        help=f"λ with which {escaped(entry.label)} usually has an effect, and 0, the baseline.",
        on_click=st.session_state.__setitem__,
        args=(field, sweep),
    )


def _draw_log_spaced(key: str, entry: CatalogEntry | None) -> None:
    """Draw the popover that fills the list of λ with log-spaced values, around those of a first sweep."""
    around = (entry.first_lambdas if entry is not None else None) or [0.1, 1.0]
    own = "" if entry is None else f"/{entry.key}"
    with st.popover("Log-spaced λ", icon=":material/linear_scale:"):
        low = number_field("From", around[0] / 10, step=around[0] / 10, key=f"{key}/spaced{own}/low")
        high = number_field("To", around[-1], step=around[-1] / 10, key=f"{key}/spaced{own}/high")
        count = number_field("Number of values", 3, key=f"{key}/spaced/count", whole=True)
        with_zero = st.checkbox("Include 0, the baseline", True, key=f"{key}/spaced/zero", persist_state="page")
        try:
            values = numbers_text(log_spaced(low, high, count, with_zero=with_zero))
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


def _draw_methods(
    form: FormContext,
    main_key: str,
    methods: list[Method],
    lambdas: list[float],
    defaults: Mapping[str, Mapping[str, Any]],
) -> list[Method] | None:
    """Draw further regularizers, each with its own λ; return None while a list cannot be read. `defaults` has values by
    entry and parameter that stand in for the catalog's."""
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
        select_all=False,
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
                    "λ",
                    method.lambdas if method else entry.first_lambdas or lambdas,
                    key=f"{form.key}/methods/{entry.key}/lambda",
                    at=f"{at}/lambda_",
                    errors=form.errors,
                    help=_first_sweep(entry),
                )
                form.errors.show(f"{at}/lambda_")
            params = parameters(
                form.catalog,
                entry,
                method.component["params"] if method else {},
                key=f"{form.key}/methods/{entry.key}",
                at=f"{at}/regularizer/0/params",
                errors=form.errors,
                defaults=defaults.get(entry.key),
                keep_edits=True,
            )
            form.errors.show(at)
        if values is None:
            return None
        drawn.append(Method({"key": entry.key, "params": params}, values))
    return drawn
