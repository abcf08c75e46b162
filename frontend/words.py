"""Numbers, results and runs in words; no Streamlit in here."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from backend.shared.contracts import CatalogParam, Run, Status, Value
from frontend.catalog import Catalog

_SYMBOLS = {
    Status.QUEUED: "◷", Status.RUNNING: "▶", Status.SUCCEEDED: "✓", Status.FAILED: "✕", Status.CANCELLED: "⊘",
}
_VALUES = {"l2": "L2 norm", "cross_entropy": "cross-entropy"}


def status_text(status: Status) -> str:
    """For tables: a symbol and the word."""
    return f"{_SYMBOLS[status]} {status.value}"


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


def plus_minus(value: Value) -> str:
    """A number ± half of its interval, both to the second digit of the latter; nothing where there is none."""
    if value.value is None:
        return ""
    half = (value.high - value.low) / 2 if value.low is not None and value.high is not None else 0
    return within(value.value, half)


def within(value: float, half: float) -> str:
    """A number ± half of its interval, both to the second digit of the latter; without it where it is only rounding."""
    if half <= 1e-9:
        return number(value)
    decimals = min(max(1 - math.floor(math.log10(half)), 0), 6)
    return f"{value:.{decimals}f} ± {half:.{decimals}f}"


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
    params = {item.name: item for item in run.evaluations}
    labels = {}
    for result in run.results:
        item = params.get(result.partition(".")[0])
        key = item.key if item else result.partition(".")[0]
        labels[result] = result_label(result, key, item.params if item else {}, offered)
    return labels


def joined(values: Sequence[int]) -> str:
    return ",".join(str(value) for value in values)


def escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    for character in "\\`*_{}[]<>#$~|:":
        text = text.replace(character, "\\" + character)
    return text


def readable(name: str) -> str:
    """A key as words."""
    return name.replace("_", " ")


def title(param: CatalogParam) -> str:
    return param.label or readable(param.name).capitalize()
