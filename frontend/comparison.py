"""What a comparison shows: groups with names and colours, and which results stand beside each other."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from backend.shared.contracts import Run
from frontend.aggregate import Column, Estimate, Group, baseline_for, columns, differing, grouped
from frontend.catalog import Catalog
from frontend.colors import lighter, palette, shades
from frontend.words import readable, result_label, title, within

# Shown first; others can be chosen
HEADLINES = ("accuracy.accuracy", "pgd_linf.accuracy", "pgd_l2.accuracy", "leakage.l2", "leakage.share")
SETTING_LABELS = {"lambda_": "λ", "batch_size": "batch size", "train_samples": "training images"}


NEUTRAL = "#5A6472"  # what has no penalty, beside several regularizers
_PALEST = 0.5  # of the distance to white: the smallest λ of a family


@dataclass(frozen=True)
class Family:
    """Groups that differ in λ alone, in order of λ."""

    label: str
    color: str
    groups: list[Group]
    origin: Group | None  # without penalty and with the same spec otherwise: where λ = 0 is, if no group of its own is


@dataclass(frozen=True)
class Comparison:
    """Runs in groups of equal settings, each group with its label and each run with its colour."""

    groups: list[Group]
    varied: list[str]  # settings that differ between the groups; λ always
    labels: list[str]
    colors: list[str]  # of the groups
    run_colors: dict[int, str]
    columns: list[Column]
    baselines: list[Group | None]  # what each group is compared with; None: nothing, or it is a baseline itself
    families: list[Family]  # with a penalty

    def place_of(self, group: Group) -> int:
        return next(place for place, other in enumerate(self.groups) if other is group)

    def label_of(self, run: Run) -> str:
        return f"{self._labels[run.id]}, seed {run.spec.seed}"

    @cached_property
    def _labels(self) -> dict[int, str]:
        return {run.id: label for label, group in zip(self.labels, self.groups, strict=True) for run in group.runs}

    def is_baseline(self, group: Group) -> bool:
        """Whether other groups are compared with it."""
        return id(group) in self._compared_with

    @cached_property
    def _compared_with(self) -> frozenset[int]:
        return frozenset(id(group) for group in self.baselines if group is not None)

    @cached_property
    def fingerprint(self) -> str:
        """What figures of results depend on: while it stays the same, a refresh draws none anew."""
        return repr([(group.runs[0].id, self.is_baseline(group), [
            (run.id, [(name, value.value) for name, value in run.results.items()]) for run in group.runs
        ]) for group in self.groups])


def compare(runs: Sequence[Run], offered: Catalog, *, baseline: int | None = None) -> Comparison:
    """Groups the runs and names what differs.

    Args:
        runs: of one or several experiments.
        offered: the catalog.
        baseline: a run of the group that all others are compared with; None: to each group the one without penalty
            and with the same spec otherwise.
    """
    groups = grouped(runs, offered.plain())
    varied = differing(groups)
    if "lambda_" not in varied:
        varied.insert(0, "lambda_")
    families = _families(groups, varied, offered)
    hues = _colors(groups, families)
    chosen = next((group for group in groups if any(run.id == baseline for run in group.runs)), None)
    if chosen:  # to the top; its colour and those of the others stay
        groups.sort(key=lambda group: group is not chosen)
    baselines = [baseline_for(group, groups) if chosen is None else None if group is chosen else chosen
                 for group in groups]
    labels = [_label(group, varied, offered) for group in groups]
    colors = [hues[group.runs[0].id] for group in groups]
    run_colors: dict[int, str] = {}
    for group, color in zip(groups, colors, strict=True):
        run_colors.update(shades(color, [run.id for run in group.runs]))
    found = columns(runs)
    rank = {result: place for place, result in enumerate(HEADLINES)}
    found.sort(key=lambda column: rank.get(column.result, len(rank)))
    return Comparison(groups, varied, labels, colors, run_colors, found, baselines, families)


def _label(group: Group, names: Sequence[str], offered: Catalog) -> str:
    """The settings in words; a component needs no more than its name."""
    return ", ".join(
        setting_text(name, group, offered) if name.endswith(".key")
        else f"{setting_label(name, group, offered)} {setting_text(name, group, offered)}"
        for name in names if name in group.settings
    )


def _families(groups: Sequence[Group], varied: Sequence[str], offered: Catalog) -> list[Family]:
    members: dict[str, list[Group]] = {}
    for group in groups:
        key = {name: value for name, value in group.settings.items() if name not in ("lambda_", "data_hash")}
        members.setdefault(json.dumps(key, sort_keys=True), []).append(group)
    kept = [sorted(found, key=lambda group: group.settings["lambda_"]) for found in members.values()
            if not all(group.is_baseline for group in found)]
    hues = palette(range(len(kept)))
    names = [name for name in varied if name != "lambda_"]
    return [
        Family(_label(found[0], names or ["regularizer.key"], offered), hues[place] if len(kept) > 1 else NEUTRAL,
               found, baseline_for(found[-1], groups))
        for place, found in enumerate(kept)
    ]


def _colors(groups: Sequence[Group], families: Sequence[Family]) -> dict[int, str]:
    """A colour for the first run of each group: a hue per family, the darker the larger λ; or a hue per group."""
    if len(families) < 2 or all(len(family.groups) < 2 for family in families):
        hues = palette(range(len(groups)))
        return {group.runs[0].id: hues[place] for place, group in enumerate(groups)}
    found = {group.runs[0].id: NEUTRAL for group in groups}
    for family in families:
        above = len(family.groups) - 1
        for place, group in enumerate(family.groups):
            found[group.runs[0].id] = lighter(family.color, _PALEST * (above - place) / max(above, 1))
    return found


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
    """The result in words; its parameters and data too where it was measured in more than one way."""
    label = result_label(column.result, column.evaluation, json.loads(column.params), offered)
    return label + _apart(column, comparison)


def short_label(column: Column, comparison: Comparison, offered: Catalog) -> str:
    """As few words as tell the result from the others of this comparison."""
    def brief(item: Column) -> str:
        words = result_label(item.result, item.evaluation, json.loads(item.params), offered)
        label, apart, value = words.partition(": ")
        return f"{readable(item.result.partition('.')[0])}: {value}" if apart else label.rpartition(", ")[2]

    label = brief(column)
    same = [item for item in comparison.columns if item.result != column.result and brief(item) == label]
    return column_label(column, comparison, offered) if same else label + _apart(column, comparison)


def _apart(column: Column, comparison: Comparison) -> str:
    rivals = [other for other in comparison.columns if other.result == column.result and other != column]
    params = json.loads(column.params)
    parts = [f"{readable(name)} {value}" for name, value in params.items()
             if any(json.loads(other.params).get(name) != value for other in rivals)]
    if any(other.data_hash != column.data_hash for other in rivals):
        parts.append(f"data {column.data_hash[:6] or 'unknown'}")
    return f" ({', '.join(parts)})" if parts else ""


def measured_differently(comparison: Comparison) -> list[str]:
    """Results that stand in more than one column, since their parameters or data differ."""
    names = [column.result for column in comparison.columns]
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]


def text(estimate: Estimate | None, *, signed: bool = False) -> str:
    """Mean ± half of the interval, both to the second digit of the latter."""
    if estimate is None:
        return "—"
    sign = "+" if signed and estimate.mean > 0 else ""
    return sign + within(estimate.mean, estimate.half_width or 0)
