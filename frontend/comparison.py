"""What a comparison shows: groups with names and colours, and which results stand beside each other."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from backend.shared.contracts import Run
from frontend.aggregate import Column, Estimate, Group, columns, differing, grouped
from frontend.catalog import Catalog
from frontend.colors import palette, shades
from frontend.words import number, readable, result_label, title

# Shown first; others can be chosen
HEADLINES = ("accuracy.accuracy", "pgd_linf.accuracy", "pgd_l2.accuracy", "leakage.l2", "leakage.share")
SETTING_LABELS = {"lambda_": "λ", "batch_size": "batch size", "train_samples": "training images"}


@dataclass(frozen=True)
class Comparison:
    """Runs in groups of equal settings, each group with its label and each run with its colour."""

    groups: list[Group]
    varied: list[str]  # settings that differ between the groups; λ always
    labels: list[str]
    colors: list[str]  # of the groups
    run_colors: dict[int, str]
    columns: list[Column]

    def label_of(self, run: Run) -> str:
        place = next(place for place, group in enumerate(self.groups) if run in group.runs)
        return f"{self.labels[place]}, seed {run.spec.seed}"


def compare(runs: Sequence[Run], offered: Catalog) -> Comparison:
    """Groups the runs and names what differs."""
    groups = grouped(runs)
    varied = differing(groups)
    if "lambda_" not in varied:
        varied.insert(0, "lambda_")
    labels = [", ".join(f"{setting_label(name, group, offered)} {setting_text(name, group, offered)}"
                        for name in varied if name in group.settings) for group in groups]
    hues = palette(range(len(groups)))
    run_colors: dict[int, str] = {}
    for place, group in enumerate(groups):
        run_colors.update(shades(hues[place], [run.id for run in group.runs]))
    found = columns(runs)
    rank = {result: place for place, result in enumerate(HEADLINES)}
    found.sort(key=lambda column: rank.get(column.result, len(rank)))
    return Comparison(groups, varied, labels, [hues[place] for place in range(len(groups))], run_colors, found)


def setting_label(name: str, group: Group, offered: Catalog) -> str:
    """A setting's path in words."""
    if name in SETTING_LABELS:
        return SETTING_LABELS[name]
    kind, _, rest = name.partition(".")
    if rest == "key":
        return kind
    entry = offered.entry(kind, str(group.settings.get(f"{kind}.key")))
    param = next((param for param in entry.params if rest == f"params.{param.name}"), None) if entry else None
    return title(param).lower() if param else readable(name.rpartition(".")[2])


def setting_text(name: str, group: Group, offered: Catalog) -> str:
    value = group.settings.get(name)
    if name.endswith(".key"):
        return offered.label(name.partition(".")[0], str(value))
    if isinstance(value, float | int) and not isinstance(value, bool):
        return f"{value:g}"
    return "—" if value is None else readable(str(value))


def column_label(column: Column, comparison: Comparison, offered: Catalog) -> str:
    """The result in words; its parameters too where it was measured in more than one way."""
    params = json.loads(column.params)
    label = result_label(column.result, column.evaluation, params, offered)
    rivals = [other for other in comparison.columns if other.result == column.result and other != column]
    if rivals:
        changed = {name: value for name, value in params.items()
                   if any(json.loads(other.params).get(name) != value for other in rivals)}
        label += f" {changed}"
    return label


def text(estimate: Estimate | None, *, signed: bool = False) -> str:
    """Mean ± half of the interval, both to the second digit of the latter."""
    if estimate is None:
        return "—"
    sign = "+" if signed and estimate.mean > 0 else ""
    half = estimate.half_width
    if not half:
        return sign + number(estimate.mean)
    decimals = min(max(1 - math.floor(math.log10(half)), 0), 6)
    return f"{sign}{estimate.mean:.{decimals}f} ± {half:.{decimals}f}"
