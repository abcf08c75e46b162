"""Numbers, results and runs as text."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from densitylab.backend.shared.contracts import (
    LOCAL_NAME,
    CatalogParam,
    EvaluationSplit,
    Origin,
    Run,
    RunSpec,
    Status,
    Value,
)
from densitylab.backend.shared.statistics.bounds import UNBOUNDED, Bounds
from densitylab.frontend.client.catalog import Catalog

_SYMBOLS = {
    Status.QUEUED: "◷",
    Status.RUNNING: "▶",
    Status.SUCCEEDED: "✓",
    Status.FAILED: "✕",
    Status.CANCELLED: "⊘",
}
# Flags of a whole run, in its name and its row
_RUN_FLAGS = {
    "at_chance": "at chance",
    "loss_above_start": "diverged",
    "catastrophic_overfitting": "overfitted to its attack",
    "lambda_without_effect": "λ without effect",
}
NO_REGULARIZER = "Baseline (no regularizer)"
_VALUES = {"l2": "L2 norm", "cross_entropy": "cross-entropy"}


def status_text(status: Status) -> str:
    """Return a symbol and the word, for tables."""
    return f"{_SYMBOLS[status]} {status.value}"


def number(value: float | None) -> str:
    """Return three decimals below 1, two digits below 0.01, else three digits."""
    if value is None:
        return "—"
    if value == 0:
        return "0"
    if abs(value) < 0.01:
        return f"{value:.2g}"
    if abs(value) < 1:
        return f"{value:.3f}"
    return f"{value:.3g}" if abs(value) < 1e4 else f"{value:.2e}"


def with_interval(value: Value, *, with_n: bool = True) -> str:
    """Return the value with its interval and n."""
    text = number(value.value)
    if value.low is not None and value.high is not None:
        text += f" [{number(value.low)}, {number(value.high)}]"
    return f"{text}, n = {value.n}" if with_n and value.n else text


def plus_minus(value: Value, bounds: Bounds = UNBOUNDED) -> str:
    """Return the value ± half-width, both to the second digit of the half-width, or the ends of the interval where that
    would leave the bounds of possible values; empty where there is no value."""
    if value.value is None:
        return ""
    if value.low is None or value.high is None:
        return number(value.value)
    half = (value.high - value.low) / 2
    if half > 1e-9 and not bounds[0] <= value.value - half <= value.value + half <= bounds[1]:
        return between(value.value, value.low, value.high)
    return within(value.value, half)


def within(value: float, half: float) -> str:
    """Return the value ± half-width, both to the second digit of the half-width; a half-width of 0 is left out."""
    if half <= 1e-9:
        return number(value)
    decimals = decimals_of(half)
    return f"{fixed(value, decimals)} ± {half:.{decimals}f}"


def between(value: float, low: float, high: float) -> str:
    """Return the value and the ends of its interval, to the second digit of the smaller distance between them."""
    near = min(distance for distance in (value - low, high - value, high - low) if distance > 1e-9)
    decimals = decimals_of(near)
    return f"{fixed(value, decimals)} ({fixed(low, decimals)} to {fixed(high, decimals)})"


def fixed(value: float, decimals: int, *, signed: bool = False) -> str:
    """Return the value with this number of decimals. `signed` puts a plus before positive ones; a value that rounds to
    zero has no sign."""
    words = f"{value:z.{decimals}f}"
    return f"+{words}" if signed and float(words) > 0 else words


def decimals_of(distance: float) -> int:
    """Return the decimals that show a positive distance to its second digit, 0 to 6."""
    return min(max(1 - math.floor(math.log10(distance)), 0), 6)


def size(count: float) -> str:
    """Return a number of bytes with its unit."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


def run_flags(run: Run) -> list[str]:
    """Return what is wrong with the run as a whole, in words."""
    keys = {flag.key for flag in run.flags}
    return [words for key, words in _RUN_FLAGS.items() if key in keys]


def run_name(run: Run, catalog: Catalog) -> str:
    """Return the run's number, how its training ended if that is bad, and its name, or its main settings if it has
    none."""
    return f"{run_heading(run)}: {run.name or run_words(run, catalog)}"


def run_heading(run: Run) -> str:
    """Return the run's number, and how its training ended if that is bad."""
    flags = run_flags(run)
    return f"Run {run.id}{f' {flags[0]}' if flags else ''}"


def run_words(run: Run, catalog: Catalog) -> str:
    """Return the run's main settings; of a model that was trained elsewhere its file and its network."""
    spec = run.spec
    network = catalog.label("model", spec.model.key)
    if run.origin is not Origin.TRAINED:
        stated = "" if run.lambda_ is None else f", λ = {run.lambda_:g}"
        kind = "imported model" if run.origin is Origin.IMPORTED else "logged training"
        named = "" if run.source_name == kind else f" {run.source_name}"
        return f"{kind}{named}, {network}{stated}"
    regularizer = f"{catalog.label('regularizer', spec.regularizer.key)}, λ = {spec.lambda_:g}"
    if spec.lambda_ == 0 or spec.regularizer.key in catalog.plain():
        regularizer = NO_REGULARIZER.lower()
    algorithm = algorithm_label(run, catalog)
    return f"{network}, {f'{algorithm}, ' if algorithm else ''}{regularizer}, seed {spec.seed}"


def algorithm_label(run: Run, catalog: Catalog) -> str:
    """Return the algorithm of a run's training; "" for the default one."""
    key = run.spec.algorithm.key
    return "" if key == RunSpec().algorithm.key else catalog.label("algorithm", key)


def result_label(
    result: str, evaluation: str, params: Mapping[str, Any], catalog: Catalog, split: EvaluationSplit = "test"
) -> str:
    """Return the label of a result: the catalog's, else the evaluation's label, its strength and the metric's name."""
    label = _metric_label(result.partition(".")[2], evaluation, params, catalog)
    if split == "test":
        return label
    return f"{split.capitalize()}{label.removeprefix('Test')}" if label.startswith("Test ") else f"{label}, {split}"


def _metric_label(name: str, evaluation: str, params: Mapping[str, Any], catalog: Catalog) -> str:
    entry, metric = catalog.entry("evaluation", evaluation), catalog.metric(evaluation, name)
    if metric is not None:
        return _filled(metric.label, params)
    label = catalog.label("evaluation", evaluation)
    for param in entry.params if entry else ():
        strengths = params.get(param.name)
        if param.type == "floats" and strengths:
            label += f" at {strength(strengths[0])}"
    words = _VALUES.get(name, readable(name))
    return label if words in label.lower() else f"{label}: {words}"


def _filled(label: str, params: Mapping[str, Any]) -> str:
    """Return a metric's label with the values of the evaluation's parameters in it; of a list the first one."""
    for name, value in params.items():
        first = value[0] if isinstance(value, list) and value else value
        label = label.replace(f"{{{name}}}", strength(first) if isinstance(first, int | float) else str(first))
    return label


def strength(value: float) -> str:
    """Return a strength of perturbations; one that is a number of grey levels as that: 0.00784314 is 2/255."""
    plain, levels = f"{value:g}", value * 255
    if len(plain) > 6 and 0 < levels < 255 and abs(levels - round(levels)) < 1e-4:
        return f"{round(levels)}/255"
    return plain


def labels_of(run: Run, catalog: Catalog) -> dict[str, str]:
    """Return the labels of the run's results; equal ones have the name of their evaluation."""
    params = {item.name: item for item in run.evaluations}
    labels = {}
    for result in run.results:
        item = params.get(result.partition(".")[0])
        key = item.key if item else result.partition(".")[0]
        labels[result] = result_label(result, key, item.params if item else {}, catalog, item.split if item else "test")
    texts = list(labels.values())
    return {
        result: f"{label} ({readable(result.partition('.')[0])})" if texts.count(label) > 1 else label
        for result, label in labels.items()
    }


def counted(number: int, noun: str) -> str:
    """Return the number and the noun, in the plural unless it is 1."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def joined(values: Sequence[int]) -> str:
    """Return the numbers separated by commas, as links have them."""
    return ",".join(str(value) for value in values)


def ranges(numbers: Sequence[int]) -> str:
    """Return the numbers, each once, with consecutive ones joined, such as 1–3, 7."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join("–".join(map(str, part)) for part in parts)


def runs_text(numbers: Sequence[int]) -> str:
    """Return the numbers of runs with the noun."""
    return f"{'run' if len(numbers) == 1 else 'runs'} {ranges(numbers)}"


def escaped(text: str) -> str:
    """Escape the text for Markdown."""
    for character in "\\`*_{}[]<>#$~|:":
        text = text.replace(character, "\\" + character)
    return text


def as_sentence(text: str) -> str:
    """Return the text with a capital letter at its start and a full stop at its end."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


def readable(name: str) -> str:
    """Return a key as words."""
    return name.replace("_", " ")


def title(param: CatalogParam) -> str:
    """Return the label of a parameter."""
    return param.label or readable(param.name).capitalize()


def by_owner(owner: str | None) -> str:
    """Return " · by NAME" as Markdown; nothing if it is not known, or if there is one user without a token."""
    return f" · by {escaped(owner)}" if owner not in (None, LOCAL_NAME) else ""
