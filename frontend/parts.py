"""What several pages show: the connection, status, numbers with n and interval, errors."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import streamlit as st

from backend.shared.contracts import Run, Status, Value
from frontend.catalog import Catalog
from frontend.client import ApiClient, ApiError, connect
from frontend.widgets import escaped, readable

DEFAULT_URL = "http://127.0.0.1:8000"
REFRESH_SECONDS = 1.0  # of a live part

# Each status with an icon, a symbol for tables, and a colour: the word always goes with them
_ICONS = {
    Status.QUEUED: (":material/schedule:", "◷", "gray"),
    Status.RUNNING: (":material/play_arrow:", "▶", "blue"),
    Status.SUCCEEDED: (":material/check:", "✓", "green"),
    Status.FAILED: (":material/error:", "✕", "red"),
    Status.CANCELLED: (":material/block:", "⊘", "orange"),
}
_VALUES = {"l2": "L2 norm", "cross_entropy": "cross-entropy"}


def api_url() -> str:
    return os.environ.get("DENSITYLAB_API_URL") or DEFAULT_URL


@st.cache_resource
def api() -> ApiClient:
    """One client for every session of the page."""
    return connect(api_url(), os.environ.get("DENSITYLAB_API_TOKEN"))


@st.cache_data(ttl=60, show_spinner=False)
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
    lines += [f"- `{item.pointer}`: {escaped(item.detail)}" for item in error.errors]
    st.error("\n".join(lines), icon=":material/error:")


def status_badge(status: Status) -> None:
    icon, _, color = _ICONS[status]
    st.badge(status.value, icon=icon, color=color)


def status_text(status: Status) -> str:
    """For tables: a symbol and the word."""
    return f"{_ICONS[status][1]} {status.value}"


def number(value: float | None) -> str:
    """Three decimals below one, two digits below a hundredth, else three digits."""
    if value is None:
        return "—"
    if value == 0:
        return "0"
    if abs(value) < 0.01:
        return f"{value:.2g}"
    if abs(value) < 1:
        return f"{value:.3f}"
    return f"{value:.3g}" if abs(value) < 1e4 else f"{value:.2e}"


def measured(value: Value, *, with_n: bool = True) -> str:
    """A number with its interval and n."""
    text = number(value.value)
    if value.low is not None and value.high is not None:
        text += f" [{number(value.low)}, {number(value.high)}]"
    return f"{text}, n = {value.n}" if with_n and value.n else text


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "—"
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


def run_name(run: Run, offered: Catalog) -> str:
    """One line that tells a run from others."""
    spec = run.spec
    return (f"Run {run.id}: {offered.label('model', spec.model.key)}, "
            f"{offered.label('regularizer', spec.regularizer.key)}, λ = {spec.lambda_:g}, seed {spec.seed}")


def result_label(result: str, evaluation: str, params: Mapping[str, Any], offered: Catalog) -> str:
    """A result in words: the evaluation's label, at which strength, and which of its values."""
    _, _, value = result.partition(".")
    label = offered.label("evaluation", evaluation)
    entry = offered.entry("evaluation", evaluation)
    for param in entry.params if entry else ():
        strengths = params.get(param.name)
        if param.type == "floats" and strengths:
            label += f" at {strengths[0]:g}"
    words = _VALUES.get(value, readable(value))
    return label if words in label.lower() else f"{label}: {words}"


def labels_of(run: Run, offered: Catalog) -> dict[str, str]:
    """The run's results in words."""
    params = {item.name or item.key: item for item in run.spec.evaluations}
    labels = {}
    for result in run.results:
        item = params.get(result.partition(".")[0])
        key = item.key if item else result.partition(".")[0]
        labels[result] = result_label(result, key, item.params if item else {}, offered)
    return labels


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


def joined(values: Sequence[int]) -> str:
    return ",".join(str(value) for value in values)


def flash(text: str) -> None:
    """A message that survives the jump to another page."""
    st.session_state["flash"] = text


def show_flash() -> None:
    text = st.session_state.pop("flash", None)
    if text:
        st.toast(text)
