"""Warnings in one line."""

from collections.abc import Sequence

import streamlit as st

from densitylab.frontend.analysis.formatting import counted, escaped

_SHOWN = 300  # characters of a sentence in the line


def show_warning_line(sentences: Sequence[str]) -> None:
    """Draw one line for all warnings; it opens to the sentences. Nothing without warnings."""
    if not sentences:
        return
    first = sentences[0] if len(sentences[0]) <= _SHOWN else f"{sentences[0][:_SHOWN].rsplit(' ', 1)[0]} …"
    count = counted(len(sentences), "warning") + ("" if len(sentences) == 1 else ", the first")
    with st.expander(f"{count}: {escaped(first)}", icon=":material/warning:"):
        for sentence in sentences:
            st.markdown(f"- {escaped(sentence)}")
