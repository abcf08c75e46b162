"""A comparison of runs: groups with labels and colours, families over λ, and comparable results."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from densitylab.backend.shared.contracts import Run
from densitylab.backend.shared.statistics.estimates import Estimate
from densitylab.backend.shared.statistics.groups import (
    OF_PENALTY,
    Column,
    Group,
    baseline_for,
    differing_settings,
    group_runs,
    higher_is_better,
    is_unused,
)
from densitylab.backend.shared.statistics.pareto import dominated
from densitylab.backend.shared.statistics.selection import ACCURACY, is_validation, methods
from densitylab.backend.shared.statistics.table_tests import TableTest, against_baseline, best_groups, undecided_pairs
from densitylab.frontend.analysis.colors import NEUTRAL, lambda_dash, seed_dash
from densitylab.frontend.analysis.formatting import NO_REGULARIZER, between, counted, readable, result_label, within
from densitylab.frontend.analysis.group_colors import family_colors, group_colors
from densitylab.frontend.analysis.group_names import group_names, with_group_name
from densitylab.frontend.analysis.origins import seed_of
from densitylab.frontend.analysis.setting_names import setting_text, settings_text
from densitylab.frontend.analysis.variants import differing_params
from densitylab.frontend.client.catalog import Catalog

_NAMED = 5  # groups in a sentence


@dataclass(frozen=True)
class Family:
    """Groups that differ only in λ, in order of λ."""

    label: str
    color: str
    groups: list[Group]
    origin: Group | None  # the baseline: the value at λ = 0 where no group of the family has it


@dataclass(frozen=True)
class Comparison:
    """Runs in groups of equal settings, each group with its label and each run with its colour."""

    groups: list[Group]
    varied: list[str]  # settings that differ between the groups, and λ
    labels: list[str]
    colors: list[str]  # of the groups
    run_colors: dict[int, str]
    columns: list[Column]
    baselines: list[Group | None]  # of each group; None for a baseline, and where there is none
    families: list[Family]  # of the groups with a penalty
    baseline: Group | None = None  # that all groups are compared with; None: each has its own
    left_out: Sequence[tuple[str, Group]] = ()  # groups without results, with their labels

    def setting_text(self, name: str, group: Group, catalog: Catalog) -> str:
        """Return a setting of a group in words. The regularizer of a baseline is the name that it has in its label."""
        if name == "regularizer.key" and group.is_baseline and group.trained_here:
            return NO_REGULARIZER
        return "—" if is_unused(name, group) else setting_text(name, group.settings, catalog)

    def index_of(self, group: Group) -> int:
        """Return the group's index in `groups`."""
        return next(index for index, other in enumerate(self.groups) if other is group)

    def label_of(self, run: Run) -> str:
        """Return the run's name, with its number where several runs have that name; without a name its settings."""
        if run.name is None:
            return self.settings_of(run)
        return f"{run.name} (run {run.id})" if self._names[run.name] > 1 else run.name

    @cached_property
    def _names(self) -> Counter[str | None]:
        return Counter(run.name for run in all_runs(self))

    def settings_of(self, run: Run) -> str:
        """Return the label of the run's group with the run's seed, where it is known."""
        seed = seed_of(run)
        return self.group_of_run[run.id] + ("" if seed is None else f", seed {seed}")

    @cached_property
    def dashes(self) -> list[str]:
        """The dash of each group's lines."""
        return [lambda_dash(None if group.is_baseline else group.settings["lambda_"]) for group in self.groups]

    @cached_property
    def run_dashes(self) -> dict[int, str]:
        """The dash of each run's lines, which tells the seeds of a group apart."""
        return {run.id: seed_dash(seed_of(run)) for run in all_runs(self)}

    @cached_property
    def group_of_run(self) -> dict[int, str]:
        """The label of each run's group."""
        labelled = [*zip(self.labels, self.groups, strict=True), *self.left_out]
        return {run.id: label for label, group in labelled for run in group.runs}

    def tests(self, columns: Sequence[Column]) -> dict[tuple[int, Column], TableTest]:
        """Return the tests of all groups against their baselines in these results, see `against_baseline`."""
        key = tuple(columns)
        if key not in self._tests:
            self._tests[key] = against_baseline(self.groups, self.baselines, columns)
        return self._tests[key]

    @cached_property
    def _tests(self) -> dict[tuple[Column, ...], dict[tuple[int, Column], TableTest]]:
        return {}

    def best(self, columns: Sequence[Column], groups: Sequence[Group] | None = None) -> dict[Column, Group]:
        """Return the best of these groups, or of all, by result: see `best_groups`. None is the best whose difference
        from its baseline, or from a group that has it as its baseline, is undecided by the tests of these results."""
        shown = self.groups if groups is None else groups
        runs = all_runs(self)
        directions = {column: higher_is_better(runs, column) for column in columns}
        undecided = undecided_pairs(self.groups, self.baselines, self.tests(columns))
        return {column: shown[index] for column, index in best_groups(shown, directions, undecided).items()}

    def is_baseline(self, group: Group) -> bool:
        """Return whether other groups are compared with this one."""
        return id(group) in self._compared_with

    @cached_property
    def _compared_with(self) -> frozenset[int]:
        return frozenset(id(group) for group in self.baselines if group is not None)

    @cached_property
    def datasets(self) -> dict[Column, set[str]]:
        """The data sets on which each result was evaluated."""
        found: dict[Column, set[str]] = {}
        for group in self.groups:
            for column in group.means:
                found.setdefault(column, set()).add(str(group.settings.get("dataset.key")))
        return found

    @cached_property
    def fingerprint(self) -> str:
        """A key of everything that figures of results depend on, for caches."""
        return repr(
            [
                (
                    group.runs[0].id,
                    self.is_baseline(group),
                    [
                        (run.id, run.name, [(name, value.value) for name, value in run.results.items()])
                        for run in group.runs
                    ],
                )
                for group in self.groups
            ]
        )


def all_runs(comparison: Comparison) -> list[Run]:
    """Return the runs in the order of the groups, then those of the groups that are left out."""
    return [run for group in (*comparison.groups, *(group for _, group in comparison.left_out)) for run in group.runs]


def left_out_text(comparison: Comparison) -> str:
    """Return a sentence that names the groups which are left out; "" for none."""
    labels = [label for label, _ in comparison.left_out]
    if not labels:
        return ""
    more = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
    have, runs = ("has", "its runs") if len(labels) == 1 else ("have", "their runs")
    return (
        f"{counted(len(labels), 'group')} {have} no results: all {runs} were cancelled or failed "
        f"({'; '.join(labels[:_NAMED])}{more})."
    )


def compare(
    runs: Sequence[Run], catalog: Catalog, *, baseline: int | None = None, leave_out: bool = False
) -> Comparison:
    """Group the runs and label what differs between the groups.

    Args:
        runs: of one or several experiments.
        catalog: the API's.
        baseline: a run of the group that all others are compared with; None: each group has its own baseline, the
            group with the same spec but without a penalty.
        leave_out: leave out groups without results whose runs were all cancelled or failed, unless all are such groups.
    """
    every = group_runs(runs, catalog.plain(), catalog.bounds)
    groups = [group for group in every if not (leave_out and _is_lost(group))] or every
    lost = [group for group in every if _is_lost(group)] if len(groups) < len(every) else []
    varied = _varied(groups)
    families = _families(groups, varied, catalog)
    colors_of = group_colors(groups, families)
    chosen = next((group for group in groups if any(run.id == baseline for run in group.runs)), None)
    if chosen:  # first, with unchanged colours
        groups.sort(key=lambda group: group is not chosen)
    baselines = [
        baseline_for(group, groups) if chosen is None else None if group is chosen else chosen for group in groups
    ]
    labels = _distinct(_labels(groups, varied, catalog), groups)
    colors = [colors_of[id(group)] for group in groups]
    run_colors = {run.id: color for group, color in zip(groups, colors, strict=True) for run in group.runs}
    run_colors |= {run.id: NEUTRAL for group in lost for run in group.runs}
    rank = {result: index for index, result in enumerate(catalog.headlines())}
    of_runs = {run_id: found for group in every for run_id, found in group.columns_by_run.items()}
    present = dict.fromkeys(column for run in runs for column in of_runs[run.id])
    ranked = sorted(present, key=lambda column: rank.get(_by_key(column), len(rank)))
    left_out = list(zip(_labels(lost, _varied(every), catalog), lost, strict=True))
    return Comparison(groups, varied, labels, colors, run_colors, ranked, baselines, families, chosen, left_out)


def _is_lost(group: Group) -> bool:
    return all(run.status.unsuccessful and not run.results for run in group.runs)


def _varied(groups: Sequence[Group]) -> list[str]:
    """Return the settings that differ between the groups, and λ."""
    varied = differing_settings(groups)
    if "lambda_" not in varied and any(group.settings["lambda_"] is not None for group in groups):
        varied.insert(0, "lambda_")
    if "source" not in varied and not all(group.trained_here for group in groups):
        varied.insert(0, "source")
    return varied


def _labels(groups: Sequence[Group], varied: Sequence[str], catalog: Catalog) -> list[str]:
    """Return the settings of each group in words. Where penalties differ, a baseline is called so."""
    labels = [settings_text(group.settings, varied, catalog) for group in groups]
    if not any(name.startswith(OF_PENALTY) for name in varied):
        return labels
    others = [name for name in varied if name != "lambda_" and not name.startswith(OF_PENALTY)]
    return [
        ", ".join(filter(None, [NO_REGULARIZER, settings_text(group.settings, others, catalog)]))
        if group.is_baseline and group.trained_here
        else label
        for group, label in zip(groups, labels, strict=True)
    ]


def _distinct(labels: Sequence[str], groups: Sequence[Group]) -> list[str]:
    """Return the labels, those that occur several times with the number of a run: models may have equal file names."""
    return [
        f"{label} (run {group.runs[0].id})" if labels.count(label) > 1 and not group.trained_here else label
        for label, group in zip(labels, groups, strict=True)
    ]


def _families(groups: Sequence[Group], varied: Sequence[str], catalog: Catalog) -> list[Family]:
    penalised = methods(groups)
    hues = family_colors([method.groups for method in penalised], catalog)
    return [
        Family(method_label(method.groups[0], varied, catalog), hue, method.groups, method.baseline)
        for hue, method in zip(hues, penalised, strict=True)
    ]


def method_label(group: Group, varied: Sequence[str], catalog: Catalog) -> str:
    """Return the settings of a method in words: those that differ between the groups, without λ."""
    names = [name for name in varied if name not in ("lambda_", "source")]
    label = settings_text(group.settings, names or ["regularizer.key"], catalog)
    return label if group.trained_here else f"trained elsewhere{label and f', {label}'}"


def column_label(column: Column, comparison: Comparison, catalog: Catalog) -> str:
    """Return the result in words, with its parameters and data where the comparison has several variants of it."""
    return _words(column, comparison, catalog) + _apart(column, comparison, catalog)


def short_label(column: Column, comparison: Comparison, catalog: Catalog) -> str:
    """Return the shortest words that tell the result from the comparison's others."""

    def brief(item: Column) -> str:
        words = _words(item, comparison, catalog)
        if catalog.metric(item.evaluation, item.result.partition(".")[2]) is not None:
            return words
        name = item.result.partition(".")[0]
        if name in (item.evaluation, f"{item.evaluation}_{item.split}"):
            return words
        label, apart, value = words.partition(": ")
        return f"{readable(name)}: {value}" if apart else label.rpartition(", ")[2]

    label = brief(column)
    same = [item for item in comparison.columns if _kind(item) != _kind(column) and brief(item) == label]
    return column_label(column, comparison, catalog) if same else label + _apart(column, comparison, catalog)


def _words(column: Column, comparison: Comparison, catalog: Catalog) -> str:
    """Return the label of the result, with the name of the group of images that it numbers."""
    params = json.loads(column.params)
    label = result_label(column.result, column.evaluation, params, catalog, column.split)
    datasets = comparison.datasets.get(column, set())
    if len(datasets) != 1:
        return label
    (dataset,) = datasets
    return with_group_name(label, group_names(catalog, dataset, params))


def _apart(column: Column, comparison: Comparison, catalog: Catalog) -> str:
    """Return what tells a column from others of the same value and kind of evaluation: parameters, data, or a name."""
    rivals = [other for other in comparison.columns if other != column and _kind(other) == _kind(column)]
    parts = differing_params(
        json.loads(column.params), [json.loads(other.params) for other in rivals], column.evaluation, catalog
    )
    if any(other.data_hash != column.data_hash for other in rivals):
        parts.append(f"data {column.data_hash[:6] or 'unknown'}")
    if rivals and not parts:
        parts.append(readable(column.result.partition(".")[0]))
    return f" ({', '.join(parts)})" if parts else ""


def _kind(column: Column) -> tuple[str, str, str]:
    return column.evaluation, column.value, column.split


def headline_columns(comparison: Comparison, catalog: Catalog) -> list[Column]:
    """Return the columns of the default tables, on test images; an evaluation under another name has its own."""
    headlines = catalog.headlines()
    return [column for column in comparison.columns if _by_key(column) in headlines and not is_validation(column)]


def _by_key(column: Column) -> str:
    """Return the name of the result in an evaluation without a name of its own."""
    return f"{column.evaluation}.{column.value}"


def selectable_columns(columns: Sequence[Column], runs: Sequence[Run]) -> list[Column]:
    """Return the results by which λ may be selected: of known direction, on test images, and not the accuracy."""
    return [
        column
        for column in columns
        if higher_is_better(runs, column) is not None
        and not column.result.startswith("accuracy.")
        and not is_validation(column)
    ]


def tradeoff_columns(columns: Sequence[Column]) -> list[Column]:
    """Return the results of the two default trade-offs against accuracy: the first and the last of the columns, of
    evaluations without a name of their own if there are any."""
    others = [column for column in columns if column.result != ACCURACY]
    others = [column for column in others if column.result == _by_key(column)] or others
    return list(dict.fromkeys([others[0], others[-1]])) if others else []


def dominated_groups(comparison: Comparison, x: Column, y: Column) -> dict[int, bool]:
    """Return by the `id` of each group with both results whether another one is at least as good in both and better in
    one; empty where a result has no direction."""
    runs = all_runs(comparison)
    more_x, more_y = higher_is_better(runs, x), higher_is_better(runs, y)
    if more_x is None or more_y is None:
        return {}
    known = {
        id(group): (group.means[x].mean, group.means[y].mean)
        for group in comparison.groups
        if {x, y} <= group.means.keys()
    }
    return dict(zip(known, dominated(list(known.values()), (more_x, more_y)), strict=True))


def results_in_several_columns(comparison: Comparison) -> list[str]:
    """Return the results that have several columns, since their parameters or data differ."""
    names = [column.result for column in comparison.columns]
    return [name for name in dict.fromkeys(names) if names.count(name) > 1]


def text(estimate: Estimate | None, *, signed: bool = False) -> str:
    """Return the mean ± half-width of the interval, to the second digit of the half-width; or the ends of the interval
    where they have different distances from the mean."""
    if estimate is None:
        return "—"
    if estimate.low is None or estimate.high is None or estimate.symmetric:
        words = within(estimate.mean, estimate.half_width or 0)
    else:
        words = between(estimate.mean, estimate.low, estimate.high)
    return f"+{words}" if signed and float(words.partition(" ")[0]) > 0 else words
