"""The filters of the table of runs; the page's link has them."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from densitylab.backend.shared.contracts import Origin, Status
from densitylab.frontend.analysis.formatting import counted
from densitylab.frontend.analysis.origins import ORIGINS
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.ui.field_errors import problem
from densitylab.frontend.ui.widgets import parse_numbers

_ORDERS = {"-id": "newest, running first", "id": "oldest first", "lambda_": "λ"}  # and by each headline result
_IN_POPOVER = ("origin", "experiment", "lambda_min", "lambda_max", "seeds", "above", "below", "archived")
_LARGEST = 2**31 - 1


def show_filters(catalog: Catalog) -> dict[str, Any]:
    """Draw the filters, the rarer ones in a popover; return them as keywords of the client's `runs`."""
    orders = _ORDERS | catalog.orders()
    # On a phone below the table (streamlit_app.css)
    with st.container(horizontal=True, vertical_alignment="bottom", key="runs-filters"):
        text = st.text_input(
            "Search", key="q", bind="query-params", placeholder="name, notes, tag or number", width=200, max_chars=200
        )
        status = _choice("Status", [item.value for item in Status], str, width=140)
        regularizer = _entry("Regularizer", "regularizer", catalog)
        dataset = _entry("Data set", "dataset", catalog)
        sort = st.selectbox(
            "Sort by", list(orders), key="sort", bind="query-params", width=230, format_func=lambda item: orders[item]
        )
        used = sum(bool(st.query_params.get(name)) for name in _IN_POPOVER)
        with st.popover(f"{counted(used, 'more filter')}" if used else "More filters", icon=":material/filter_alt:"):
            with st.container(horizontal=True, vertical_alignment="bottom"):
                origin = _choice(
                    "Origin", [item.value for item in Origin], lambda item: ORIGINS[Origin(item)], width=150
                )
                experiment = st.number_input(
                    "Experiment", 1, _LARGEST, None, key="experiment", bind="query-params", width=140, placeholder="any"
                )
            ranges = _ranges(catalog)
            archived = st.toggle("Show archived", key="archived", bind="query-params")
    return {
        "status": status,
        "regularizer": regularizer,
        "dataset": dataset,
        "origin": origin,
        "experiment": experiment,
        "q": text or None,
        "archived": archived,
        "sort": sort,
        **ranges,
    }


def _ranges(catalog: Catalog) -> dict[str, Any]:
    """Draw the ranges of λ, seeds and results."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        low, high = (
            st.number_input(
                name, 0.0, 1e6, None, format="%g", key=key, bind="query-params", width=130, placeholder="any"
            )
            for name, key in (("Smallest λ", "lambda_min"), ("Largest λ", "lambda_max"))
        )
        seeds = _seeds()
        labels = catalog.headline_labels()
        result = st.selectbox(
            "Result", list(labels), key="result", bind="query-params", width=260, format_func=lambda name: labels[name]
        )
        above, below = (
            st.number_input(
                name, None, None, None, format="%g", key=key, bind="query-params", width=130, placeholder="any"
            )
            for name, key in (("At least", "above"), ("At most", "below"))
        )
    where = [
        f"results.{result}{sign}{bound!r}"
        for sign, bound in ((">=", above), ("<=", below))
        if bound is not None and result
    ]
    return {"lambda_min": low, "lambda_max": high, "seed": seeds, "where": where or None}


def _seeds() -> list[int] | None:
    text = st.text_input("Seeds", key="seeds", bind="query-params", width=150, max_chars=200, placeholder="0, 1, 2")
    if not text.strip():
        return None
    try:
        seeds = [int(seed) for seed in parse_numbers(text, int)]
        if not all(0 <= seed <= _LARGEST for seed in seeds):
            raise ValueError(f"a seed is a whole number from 0 to {_LARGEST}")
    except ValueError as error:
        problem(str(error))
        return None
    return seeds


def _entry(label: str, kind: str, catalog: Catalog) -> str | None:
    keys = [entry.key for entry in catalog.entries(kind)]
    return _choice(label, keys, lambda item: catalog.label(kind, item), width=220, key=kind)


def _choice(
    label: str, values: Sequence[str], words: Callable[[str], str], *, width: int, key: str | None = None
) -> str | None:
    return st.selectbox(
        label,
        [None, *values],
        key=key or label.lower(),
        bind="query-params",
        width=width,
        format_func=lambda item: words(item) if item else "any",
        placeholder="any",
    )
