"""What several pages show: the connection, status, errors, links."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import streamlit as st

from backend.shared.contracts import Status
from frontend.catalog import Catalog
from frontend.client import ApiClient, ApiError, connect
from frontend.words import escaped

REFRESH_SECONDS = 1.0  # of a live part
_PATIENCE = 0.5  # seconds: a page says soon that the API is away, and asks again as it refreshes

# Each status with an icon and a colour: the word always goes with them
_ICONS = {
    Status.QUEUED: (":material/schedule:", "gray"),
    Status.RUNNING: (":material/play_arrow:", "blue"),
    Status.SUCCEEDED: (":material/check:", "green"),
    Status.FAILED: (":material/error:", "red"),
    Status.CANCELLED: (":material/block:", "orange"),
}


@st.cache_resource
def api() -> ApiClient:
    """One client for every session of the page."""
    return connect(patience=_PATIENCE)


# A resource and not data, which would be copied for every run that a table names
@st.cache_resource(ttl=60, show_spinner=False)
def catalog() -> Catalog:
    return api().catalog()


@contextmanager
def problems_shown(retrying: bool = False) -> Iterator[None]:
    """Shows what the API refuses as a sentence; what comes after the block goes on."""
    try:
        yield
    except ApiError as error:
        show_problem(error)
        if retrying:
            st.caption("Trying again every few seconds.")


def show_problem(error: ApiError) -> None:
    lines = [escaped(str(error))]
    # What the sentence says already is not said twice
    lines += [f"- `{item.pointer}`: {escaped(item.detail)}" for item in error.errors if item.detail not in str(error)]
    st.error("\n".join(lines), icon=":material/error:")


def status_badge(status: Status) -> None:
    icon, color = _ICONS[status]
    st.badge(status.value, icon=icon, color=color)


def counts_text(counts: Mapping[Status, int]) -> str:
    """Runs by status in Markdown: icon, number and word of each that there is."""
    return " ".join(f":{color}-badge[{icon} {counts[status]} {status.value}]"
                    for status, (icon, color) in _ICONS.items() if counts.get(status))


def query_int(name: str) -> int | None:
    """A whole number of the link, None where there is none; stops the page with a sentence where it is not one."""
    text = st.query_params.get(name)
    if text is None:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 2**31 - 1:
        st.error(f"This link says {escaped(name)} = {escaped(text)}, which is not a number that names one.",
                 icon=":material/link_off:")
        st.stop()
    return int(text)


def query_ints(name: str) -> list[int]:
    """Whole numbers of the link, separated by commas; what cannot be read stops the page with a sentence."""
    text = st.query_params.get(name, "")
    parts = [part for part in text.split(",") if part]
    if not all(part.isdecimal() and int(part) <= 2**31 - 1 for part in parts):
        st.error(f"This link says {escaped(name)} = {escaped(text)}, which is not a list of whole numbers.",
                 icon=":material/link_off:")
        st.stop()
    return list(dict.fromkeys(int(part) for part in parts))


def flash(text: str) -> None:
    """A message that survives the jump to another page."""
    st.session_state["flash"] = text


def show_flash() -> None:
    text = st.session_state.pop("flash", None)
    if text:
        st.toast(text)
