"""A choice whose default follows the results as they come."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

_LATE = 5.0  # seconds in which a browser may still send the default before


@dataclass(frozen=True)
class _Default:
    value: str
    before: str | None = None
    since: float = 0.0


def chosen_option(key: str, options: Sequence[str]) -> str | None:
    """Return the option that the user has chosen, or that the link has; None while the choice is the default."""
    if (linked := st.query_params.get(key)) in options:
        return linked
    value = st.session_state.get(key)
    return value if st.session_state.get(f"{key}/chosen") and value in options else None


def live_choice(
    label: str, options: Sequence[str], default: str, *, key: str, cell: DeltaGenerator | None = None
) -> str:
    """Draw the choice, bound to the page's link. A default that changes replaces the one before it; what the user has
    chosen, or the link has, stays.

    Args:
        label: of the field.
        options: at this time.
        default: one of the options.
        key: of the widget and of the link.
        cell: where it is drawn; None: here.
    """
    known: _Default = st.session_state.setdefault(f"{key}/default", _Default(default))
    chosen = chosen_option(key, options)
    st.session_state[f"{key}/chosen"] = chosen is not None
    changed = known.value != default
    if changed:
        st.session_state[f"{key}/default"] = _Default(default, known.value, time.monotonic())
    if key in st.session_state and (changed or (chosen is None and st.session_state[key] != default)):
        st.session_state[key] = chosen or default  # also into the link
    return (cell or st.container()).selectbox(
        label,
        options,
        index=options.index(default),
        key=key,
        bind="query-params",
        on_change=_choose,
        args=(key,),
    )


def _choose(key: str) -> None:
    """Remember that the user has chosen. A refresh that began before the default changed still sends the former one."""
    default: _Default = st.session_state[f"{key}/default"]
    late = st.session_state[key] == default.before and time.monotonic() - default.since < _LATE
    if not late:
        st.session_state[f"{key}/chosen"] = True
