"""The λ of each method: the best on validation images among those within the accuracy budget."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from densitylab.backend.shared.contracts import EvaluationSplit, Status
from densitylab.backend.shared.statistics.bounds import bounds_of_curve
from densitylab.backend.shared.statistics.estimates import Estimate, estimate
from densitylab.backend.shared.statistics.groups import (
    Column,
    Group,
    baseline_for,
    mean_over_seeds,
    newest_of_each_seed,
)
from densitylab.backend.shared.statistics.paired_tests import PairedTest, paired_t

ACCURACY = "accuracy.accuracy"  # the one result that every trained run has
Edge = Literal["lowest", "highest", "only"]
_CURVES = {  # of training on validation images, by (evaluation, value) of the result on them
    ("accuracy", "accuracy"): "validation_accuracy",
    ("groups", "worst"): "validation_worst_group",
}
_TOLERANCE = 1e-9  # a loss of exactly the budget is within it
ENOUGH_SEEDS = 3  # of a candidate; fewer do where no λ of its method has more


@dataclass(frozen=True)
class Method:
    """Groups that differ only in λ, in order of λ. Variants, such as two estimators, are methods of their own."""

    groups: list[Group]
    baseline: Group | None


@dataclass(frozen=True)
class Constraint:
    """A second result that a selected λ may make worse than the baseline's by `max_loss` at most."""

    result: Column  # on the test images
    higher: bool  # whether more of it is better
    max_loss: float

    def loss(self, value: float, baseline: float) -> float:
        """Return by how much a value is worse."""
        return baseline - value if self.higher else value - baseline

    def keeps(self, value: float, baseline: float) -> bool:
        """Return whether a value is within the limit."""
        return self.loss(value, baseline) <= self.max_loss + _TOLERANCE


@dataclass(frozen=True)
class Constrained:
    """The second result of a selection, where it was compared with its limit."""

    constraint: Constraint
    split: EvaluationSplit
    baseline: Estimate
    value: Estimate | None = None  # of the selected group; None: no candidate is within both limits


@dataclass(frozen=True)
class NearMiss:
    """A λ with a better result than the selected one, beyond a limit by no more than chance may explain."""

    group: Group
    limited: Literal["accuracy", "second result"]
    loss: PairedTest  # the baseline's value minus the group's, or by how much the second result is worse, by seed
    limit: float


@dataclass(frozen=True)
class Selection:
    """The λ that is selected for a method, with all that the choice rests on."""

    method: Method
    baseline: Group
    candidates: int  # groups whose accuracy and result are known over enough seeds
    within: int  # of them, those within the budget, and within the limit of the second result
    accuracy_split: EvaluationSplit  # where accuracies were compared with the budget
    result_split: EvaluationSplit  # where results were compared
    baseline_accuracy: Estimate  # on accuracy_split
    few_seeds: tuple[Group, ...] = ()  # no candidates, since they have fewer than three seeds and another λ has more
    common_seeds: int | None = (
        None  # on which λ were compared, all candidates within the limits have them; None: on all
    )
    constrained: Constrained | None = None  # None: the selection has no second result
    least_loss: float | None = None  # of a candidate's accuracy; None, as below, where a candidate is within the budget
    least_worse: float | None = None  # of the second result, if candidates are within the budget, but not that limit
    group: Group | None = None  # None, as all below: no candidate is within the budget
    edge: Edge | None = None  # where the λ lies at an end of the candidates; None: it has both neighbours
    accuracy: Estimate | None = None  # on accuracy_split
    loss: float | None = None  # the baseline's accuracy minus the group's
    selected_by: Estimate | None = None  # the result on result_split
    result: Estimate | None = None  # on the test images
    test_accuracy: Estimate | None = None
    near_miss: NearMiss | None = None  # the one that is the least beyond its limit


def methods(groups: Sequence[Group], baseline: Group | None = None) -> list[Method]:
    """Return the methods, in the order of the groups, each with its baseline. Groups whose λ is not known belong to
    none; models that were trained elsewhere, with a stated λ, belong together if their networks are the same.

    Args:
        groups: of any experiments.
        baseline: the baseline of all methods; None: each has its own, the same spec without a penalty.
    """
    members: dict[str, list[Group]] = {}
    for group in (group for group in groups if group.settings["lambda_"] is not None):
        setup = {
            name: value for name, value in group.settings.items() if name not in ("lambda_", "data_hash", "source")
        }
        members.setdefault(json.dumps(setup, sort_keys=True), []).append(group)
    penalised = [
        sorted(own, key=lambda group: group.settings["lambda_"])
        for own in members.values()
        if not all(group.is_baseline for group in own)
    ]
    return [Method(own, baseline_for(own[-1], groups) if baseline is None else baseline) for own in penalised]


def validation_accuracy(group: Group) -> Estimate | None:
    """Return the mean over seeds of the accuracy on the validation images, evaluated or else of the last epoch."""
    for column, evaluated in group.means.items():
        if (column.evaluation, column.value) == ("accuracy", "accuracy") and is_validation(column):
            return evaluated
    return _last_of_curve(group, _CURVES["accuracy", "accuracy"])


def _last_of_curve(group: Group, curve: str) -> Estimate | None:
    """Return the mean over seeds of a proportion's curve at the last epoch; None where no trained run has it."""
    return estimate(list(_curve_by_seed(group, curve).values()), bounds_of_curve(curve))


def _curve_by_seed(group: Group, curve: str) -> dict[int | None, float]:
    trained = [run for run in group.runs if run.status is Status.SUCCEEDED and curve in run.metrics]
    return {run.spec.seed: run.metrics[curve] for run in newest_of_each_seed(trained)}


def is_validation(column: Column) -> bool:
    """Return whether the result was evaluated on the validation images."""
    return column.split == "validation"


def on_validation(column: Column, group: Group) -> Column | None:
    """Return the column of the same result of this group on the validation images; None where it has none."""

    def key(item: Column) -> tuple[object, ...]:
        return item.evaluation, item.value, item.params, item.data_hash

    return next((item for item in group.means if is_validation(item) and key(item) == key(column)), None)


def validation_value(column: Column, group: Group) -> Estimate | None:
    """Return the mean over seeds of the result on the validation images: evaluated there, or else of the last epoch,
    for results that have a curve; None where neither is known."""
    evaluated = on_validation(column, group)
    if evaluated is not None:
        return mean_over_seeds(group, evaluated)
    curve = _curve_of(column)
    return None if curve is None else _last_of_curve(group, curve)


def _curve_of(column: Column) -> str | None:
    """Return the curve of training with the values of this result on validation images; None where there is none."""
    chosen = any(json.loads(column.params).values())  # the curve is that of the default parameters
    return None if chosen else _CURVES.get((column.evaluation, column.value))


def mean_test_accuracy(group: Group, data_hash: str) -> Estimate | None:
    """Return the mean over seeds of the accuracy on the test images of these data."""
    means = group.means.items()
    return next(
        (
            mean
            for column, mean in means
            if column.result == ACCURACY and column.data_hash == data_hash and not is_validation(column)
        ),
        None,
    )


def select(
    groups: Sequence[Group],
    result: Column,
    *,
    higher: bool,
    max_loss: float,
    constraint: Constraint | None = None,
    baseline: Group | None = None,
) -> list[Selection]:
    """Return the selected λ of each method: of those whose mean validation accuracy is at most `max_loss` below the
    baseline's, and whose mean of a second result is within its limit, the one with the best mean result on the
    validation images.

    Where some candidate has no accuracy, or no result, on validation images, the test images take their place for all
    methods, and the rows say so. So it is with the second result. A λ with fewer than three seeds is no candidate where
    another λ of its method has more: the best of few seeds is often the best by chance. Results are compared on the
    seeds that all λ within the limits have: more seeds for the selected λ alone do not make another one the best.

    Args:
        groups: all groups of the comparison, baselines too.
        result: the result to optimise, on the test images.
        higher: whether more of the result is better.
        max_loss: the accuracy budget, 0 to 1.
        constraint: of a second result; None: there is none.
        baseline: the baseline of all methods; None: each has its own.

    Returns:
        One row per method that has a baseline of known accuracy, and of a known second result, and a candidate.
    """
    compared = [(method, method.baseline) for method in methods(groups, baseline) if method.baseline is not None]
    evaluated = [
        group for method, reference in compared for group in _candidates(method) if mean_over_seeds(group, result)
    ]
    judged = [*evaluated, *(reference for _, reference in compared)]
    figures = _Figures(
        result,
        "validation" if all(map(validation_accuracy, judged)) else "test",
        "validation" if all(validation_value(result, group) for group in evaluated) else "test",
        constraint,
        "validation" if constraint and all(validation_value(constraint.result, group) for group in judged) else "test",
    )
    rows = (_select(method, reference, figures, higher, max_loss) for method, reference in compared)
    return [row for row in rows if row is not None]


@dataclass(frozen=True)
class _Figures:
    """The figures of a group that its selection rests on."""

    result: Column
    accuracy_split: EvaluationSplit
    result_split: EvaluationSplit
    constraint: Constraint | None
    constraint_split: EvaluationSplit

    def accuracy(self, group: Group) -> Estimate | None:
        on_test = self.accuracy_split == "test"
        return mean_test_accuracy(group, self.result.data_hash) if on_test else validation_accuracy(group)

    def value(self, group: Group) -> Estimate | None:
        return _on_split(self.result, self.result_split, group)

    def by_seed(self, group: Group) -> Mapping[int | None, float]:
        """Return the values of which `value` is the mean."""
        return _by_seed(self.result, self.result_split, group)

    def accuracy_by_seed(self, group: Group) -> Mapping[int | None, float]:
        """Return the values of which `accuracy` is the mean."""
        of_test = self.accuracy_split == "test"
        for column, values in group.by_seed.items():
            is_accuracy = (column.evaluation, column.value) == ("accuracy", "accuracy")
            same_images = is_validation(column) or column.data_hash == self.result.data_hash
            if is_accuracy and is_validation(column) != of_test and same_images:
                return values
        return {} if of_test else _curve_by_seed(group, _CURVES["accuracy", "accuracy"])

    def constrained(self, group: Group) -> Estimate | None:
        return _on_split(self.constraint.result, self.constraint_split, group) if self.constraint else None


def _by_seed(column: Column, split: EvaluationSplit, group: Group) -> Mapping[int | None, float]:
    own = column if split == "test" else on_validation(column, group)
    if own is not None:
        return group.by_seed.get(own, {})
    curve = _curve_of(column)
    return {} if curve is None else _curve_by_seed(group, curve)


def _on_split(column: Column, split: EvaluationSplit, group: Group) -> Estimate | None:
    return mean_over_seeds(group, column) if split == "test" else validation_value(column, group)


def _select(method: Method, baseline: Group, figures: _Figures, higher: bool, max_loss: float) -> Selection | None:
    reference = figures.accuracy(baseline)
    known = [
        (group, accuracy, value)
        for group in _candidates(method)
        if (accuracy := figures.accuracy(group))
        and (value := figures.value(group))
        and (figures.constraint is None or figures.constrained(group))
    ]
    constrained = _constrained(baseline, figures)
    if reference is None or not known or (figures.constraint is not None and constrained is None):
        return None
    enough = min(ENOUGH_SEEDS, max(value.n for _, _, value in known))
    candidates = [item for item in known if item[2].n >= enough]
    affordable = [item for item in candidates if reference.mean - item[1].mean <= max_loss + _TOLERANCE]
    within = [item for item in affordable if _keeps(constrained, figures.constrained(item[0]))]
    row = Selection(
        method=method,
        baseline=baseline,
        candidates=len(candidates),
        within=len(within),
        accuracy_split=figures.accuracy_split,
        result_split=figures.result_split,
        baseline_accuracy=reference,
        few_seeds=tuple(group for group, _, value in known if value.n < enough),
        constrained=constrained,
    )
    if not within:
        least_loss = min(reference.mean - accuracy.mean for _, accuracy, _ in candidates)
        losses = [_worse(constrained, figures.constrained(group)) for group, _, _ in affordable]
        return replace(row, least_loss=least_loss, least_worse=min(losses, default=None))
    means, common = _means([figures.by_seed(group) for group, _, _ in within], enough)
    best = max(range(len(within)), key=lambda index: means[index] if higher else -means[index])
    group, accuracy, value = within[best]
    inside = {id(own) for own, _, _ in within}
    beyond = [item for item in candidates if id(item[0]) not in inside]
    return replace(
        row,
        common_seeds=common,
        group=group,
        edge=_edge(group, [item[0] for item in known]),
        accuracy=accuracy,
        loss=reference.mean - accuracy.mean,
        selected_by=value,
        constrained=None if constrained is None else replace(constrained, value=figures.constrained(group)),
        result=mean_over_seeds(group, figures.result),
        test_accuracy=mean_test_accuracy(group, figures.result.data_hash),
        near_miss=_near_miss(
            [own for own, _, mean in beyond if (mean.mean > value.mean if higher else mean.mean < value.mean)],
            baseline,
            figures,
            max_loss,
        ),
    )


def _near_miss(groups: Sequence[Group], baseline: Group, figures: _Figures, max_loss: float) -> NearMiss | None:
    """Return the group that is the least beyond one limit, of those that may be within all of them; one seed does not
    say how much chance explains."""
    found = []
    for group in groups:
        losses = _losses(group, baseline, figures, max_loss)
        beyond = [miss for miss in losses if miss.loss.mean > miss.limit + _TOLERANCE]
        if beyond and all(miss.loss.low is not None and miss.loss.low <= miss.limit for miss in beyond):
            found.append(max(beyond, key=_excess))
    return min(found, key=_excess, default=None)


def _losses(group: Group, baseline: Group, figures: _Figures, max_loss: float) -> list[NearMiss]:
    ours, theirs = figures.accuracy_by_seed(group), figures.accuracy_by_seed(baseline)
    tests: list[tuple[Literal["accuracy", "second result"], PairedTest | None, float]] = [
        ("accuracy", paired_t([theirs[seed] - ours[seed] for seed in ours if seed in theirs]), max_loss)
    ]
    if (constraint := figures.constraint) is not None:
        ours, theirs = (_by_seed(constraint.result, figures.constraint_split, item) for item in (group, baseline))
        worse = [constraint.loss(ours[seed], theirs[seed]) for seed in ours if seed in theirs]
        tests.append(("second result", paired_t(worse), constraint.max_loss))
    return [NearMiss(group, limited, test, limit) for limited, test, limit in tests if test is not None]


def _excess(miss: NearMiss) -> float:
    return miss.loss.mean - miss.limit


def _means(values: Sequence[Mapping[int | None, float]], enough: int) -> tuple[list[float], int | None]:
    """Return the mean of each λ over the seeds that all have, and their number; over all seeds of each, and None, where
    they share fewer than `enough`."""
    common = set[int | None].intersection(*map(set, values))
    if len(common) < enough:
        return [fmean(own.values()) for own in values], None
    return [fmean([own[seed] for seed in common]) for own in values], len(common)


def _constrained(baseline: Group, figures: _Figures) -> Constrained | None:
    """Return the second result of the baseline; None where there is none."""
    value = figures.constrained(baseline)
    if figures.constraint is None or value is None:
        return None
    return Constrained(figures.constraint, figures.constraint_split, value)


def _keeps(constrained: Constrained | None, value: Estimate | None) -> bool:
    return constrained is None or value is None or constrained.constraint.keeps(value.mean, constrained.baseline.mean)


def _worse(constrained: Constrained | None, value: Estimate | None) -> float:
    if constrained is None or value is None:
        return 0.0
    return constrained.constraint.loss(value.mean, constrained.baseline.mean)


def _candidates(method: Method) -> list[Group]:
    return [group for group in method.groups if group is not method.baseline and not group.is_baseline]


def _edge(chosen: Group, known: Sequence[Group]) -> Edge | None:
    if len(known) == 1:
        return "only"
    return "lowest" if chosen is known[0] else "highest" if chosen is known[-1] else None
