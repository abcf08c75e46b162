"""The headline results of a run, in a row."""

from collections.abc import Sequence

import streamlit as st

from densitylab.backend.shared.contracts import Evaluation, Run
from densitylab.frontend.analysis.formatting import escaped, labels_of, plus_minus
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.ui.warning_line import show_warning_line


def show_headlines(run: Run, evaluations: Sequence[Evaluation], catalog: Catalog) -> None:
    """Draw the headline results that are there, and the warnings of the evaluations in one line."""
    labels = labels_of(run, catalog)
    keys = {item.name: item.key for item in run.evaluations}
    shown = [name for name in catalog.headlines() if name in run.results and run.results[name].value is not None]
    if shown:
        for cell, name in zip(st.columns(len(shown)), shown, strict=True):
            evaluation, _, value = name.partition(".")
            bounds = catalog.bounds(keys.get(evaluation, evaluation), value)
            mean, _, interval = plus_minus(run.results[name], bounds).partition(" ")
            cell.caption(escaped(labels[name]))
            cell.markdown(f"**{mean}** {interval}")
    show_warning_line([f"{item.name}: {flag.text}" for item in evaluations for flag in item.flags])
