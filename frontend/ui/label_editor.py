"""The inputs for the name of a run, and for notes and tags of a run or an experiment."""

import streamlit as st

from densitylab.backend.shared.contracts import Experiment, Run
from densitylab.backend.shared.contracts.fields import MAX_RUN_NAME
from densitylab.frontend.ui.field_errors import FieldErrors


def edit_name(run: Run, fields: FieldErrors) -> str:
    """Draw the input for a run's name, which begins with the stored one; return what it holds."""
    name = st.text_input(
        "Name",
        run.name or "",
        max_chars=MAX_RUN_NAME,
        placeholder="none: its settings stand for it",
        key=f"name-{run.id}-{hash(run.name)}",
        persist_state="page",
    )
    fields.show("/name")
    return name


def edit_notes_and_tags(item: Run | Experiment, fields: FieldErrors) -> tuple[str, list[str]]:
    """Draw the two inputs, which begin with the stored values; return what they hold."""
    notes = st.text_area(
        "Notes",
        item.notes,
        height=160,
        max_chars=20_000,
        key=f"notes-{item.id}-{hash(item.notes)}",
        persist_state="page",
    )
    fields.show("/notes")
    tags = st.multiselect(
        "Tags",
        item.tags,
        item.tags,
        accept_new_options=True,
        placeholder="type and press Enter",
        key=f"tags-{item.id}-{hash(tuple(item.tags))}",
        persist_state="page",
        select_all=False,
    )
    fields.show("/tags")
    return notes, tags
