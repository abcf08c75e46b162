"""Compare runs: groups over seeds, the selected λ, claims about two groups, and two runs image by image."""

import json
from collections.abc import Sequence
from typing import Literal

from sqlalchemy.orm import Session

from densitylab.backend.services.image_tests import between_groups, of_means
from densitylab.backend.services.values_per_image import ValuesPerImage
from densitylab.backend.shared.catalog import Catalog, EvaluationEntry, RegularizerEntry
from densitylab.backend.shared.contracts import Run
from densitylab.backend.shared.contracts import comparisons as contracts
from densitylab.backend.shared.errors import InvalidField, NotFound
from densitylab.backend.shared.statistics.bounds import Bounds, BoundsOf, bounds_of
from densitylab.backend.shared.statistics.claims import Question, at_most_worse, claim_text, judge
from densitylab.backend.shared.statistics.conditions import conditions_text, differing_conditions
from densitylab.backend.shared.statistics.groups import (
    Column,
    Group,
    baseline_for,
    columns,
    columns_of,
    difference,
    differing_settings,
    group_runs,
    higher_is_better,
    is_unused,
    mean_over_seeds,
    repeated_text,
)
from densitylab.backend.shared.statistics.paired_tests import ImageTest, PairedTest
from densitylab.backend.shared.statistics.selection import (
    ACCURACY,
    Constraint,
    Selection,
    is_validation,
    mean_test_accuracy,
    select,
    validation_accuracy,
)
from densitylab.backend.shared.statistics.selection_text import selection_text
from densitylab.backend.shared.statistics.table_tests import against_baseline, best_groups, undecided_pairs
from densitylab.backend.shared.store import evaluations, runs

QuestionName = Literal["result", "accuracy", "constraint"]
QUESTIONS: tuple[QuestionName, ...] = ("result", "accuracy", "constraint")  # of a claim, in its order


def compare(
    session: Session,
    catalog: Catalog,
    run_ids: Sequence[int],
    result: str,
    *,
    max_loss: float,
    baseline: int | None,
    constraint: tuple[str, float] | None = None,
) -> contracts.RunComparison:
    """Return the groups of these runs compared by one result.

    Args:
        result: "<evaluation name>.<value name>", on test images.
        max_loss: the accuracy budget, 0 to 1.
        baseline: a run of the group that all others are compared with; None: each group has its own.
        constraint: a second result, and by how much a selected λ may make it worse; None: there is none.

    Raises:
        InvalidRequest: no run has the result, it has no direction or several variants, or the baseline is none of the
            runs.
    """
    members = list(runs.many(session, run_ids).values())
    column, higher = _column(members, result)
    groups = grouped(catalog, members)
    chosen = next((group for group in groups if any(run.id == baseline for run in group.runs)), None)
    if baseline is not None and chosen is None:
        raise InvalidField(f"expected one of the compared runs; got {baseline}", "/query/baseline")
    baselines = [
        baseline_for(group, groups) if chosen is None else None if group is chosen else chosen for group in groups
    ]
    index = {id(group): number for number, group in enumerate(groups)}
    tests = against_baseline(groups, baselines, [column])
    best = best_groups(groups, {column: higher}, undecided_pairs(groups, baselines, tests)).get(column)
    varied = [name for name in differing_settings(groups) if name not in ("lambda_", "regularizer.key")]
    limit = None
    if constraint is not None:
        limit = Constraint(*_column(members, constraint[0], "/query/constraint_result"), constraint[1])
    selection = select(groups, column, higher=higher, max_loss=max_loss, constraint=limit, baseline=chosen)
    conditions = differing_conditions(members, [column, *_accuracies(members, column.data_hash)])
    return contracts.RunComparison(
        result=result,
        evaluation=column.evaluation,
        params=json.loads(column.params),
        data_hash=column.data_hash,
        higher_is_better=higher,
        accuracy_budget=max_loss,
        constraint_result=constraint[0] if constraint else None,
        constraint_budget=constraint[1] if constraint else 0.0,
        groups=[
            contracts.ComparedGroup(
                runs=[run.id for run in group.runs],
                regularizer=group.settings.get("regularizer.key"),
                lambda_=group.settings["lambda_"],
                settings={
                    name: group.settings[name]
                    for name in varied
                    if name in group.settings and not is_unused(name, group)
                },
                baseline=None if own is None else index[id(own)],
                best=number == best,
                result=_mean(mean_over_seeds(group, column)),
                test_accuracy=_mean(mean_test_accuracy(group, column.data_hash)),
                validation_accuracy=_mean(validation_accuracy(group)),
            )
            for number, (group, own) in enumerate(zip(groups, baselines, strict=True))
        ],
        differences=[
            contracts.GroupDifference(
                group=number,
                baseline=index[id(baselines[number])],
                test=contracts.SeedTest.model_validate(tested.test, from_attributes=True),
                p_adjusted=tested.p_adjusted,
                seeds_needed=tested.seeds_needed,
            )
            for (number, _), tested in tests.items()
        ],
        selection=[_selected(row, index) for row in selection],
        selection_text=selection_text(selection) if selection else "",
        differing_conditions=[contracts.DifferingCondition(condition=item.name, runs=item.runs) for item in conditions],
        conditions_text=conditions_text(conditions),
        repeated_trainings=[ids for group in groups for ids in group.repeated],
        repeated_text=repeated_text(groups),
    )


def claim(
    session: Session,
    catalog: Catalog,
    per_image: ValuesPerImage,
    first_ids: Sequence[int],
    second_ids: Sequence[int],
    result: str,
    *,
    max_loss: float,
    constraint: tuple[str, float] | None = None,
) -> contracts.Claim:
    """Return whether the first group has a better result than the second, at no more than `max_loss` of accuracy, and
    with a second result that is at most so much worse, if a `constraint` names one.

    Raises:
        NotFound: a run does not exist.
        InvalidRequest: the runs of one side differ in more than the seed, or the sides have no common result.
    """
    first = _group(session, catalog, first_ids, "/query/first")
    second = _group(session, catalog, second_ids, "/query/second")
    if any(run.id in {other.id for other in second.runs} for run in first.runs):
        raise InvalidField("expected other runs than the first's", "/query/second")
    members = [*first.runs, *second.runs]
    column, higher = _column(members, result)
    accuracy, _ = _column(members, ACCURACY)
    used = [column, accuracy]
    kept = None
    if constraint is not None:
        limited, more = _column(members, constraint[0], "/query/constraint_result")
        kept = at_most_worse(*_tests(per_image, first, second, limited), higher=more, max_loss=constraint[1])
        used.append(limited)
    judged = judge(
        _tests(per_image, first, second, column),
        _tests(per_image, first, second, accuracy),
        higher=higher,
        max_loss=max_loss,
        constraint=kept,
    )
    return contracts.Claim(
        verdict=judged.verdict,
        text=claim_text(judged, max_loss=max_loss),
        result=result,
        higher_is_better=higher,
        accuracy_budget=max_loss,
        constraint_result=constraint[0] if constraint else None,
        constraint_budget=constraint[1] if constraint else 0.0,
        questions=[_question(*item) for item in zip(QUESTIONS, judged.questions, strict=False)],
        seeds=judged.seeds,
        seeds_needed=judged.seeds_needed,
        flags=_flags(session, [first, second], used),
    )


def _tests(
    per_image: ValuesPerImage, first: Group, second: Group, column: Column
) -> tuple[PairedTest | None, ImageTest | None]:
    """Return the tests of first minus second over seeds and over images."""
    return difference(first, second, column), between_groups(per_image, first, second, column)


def image_comparison(
    session: Session, per_image: ValuesPerImage, first_id: int, second_id: int, result: str
) -> contracts.ImageComparison:
    """Return the test between two runs on the same images.

    Raises:
        NotFound: a run does not exist.
        InvalidRequest: the runs have no common result, or no values per image of which it is the mean.
    """
    first, second = _run(session, first_id, "/query/first"), _run(session, second_id, "/query/second")
    column, _ = _column([first, second], result)
    test = of_means([(per_image.of(first, column), per_image.of(second, column))])
    if test is None:
        raise InvalidField(
            f"the runs store no values per image of which {result} is the mean; expected the mean of an array, such as "
            f"{ACCURACY}",
            "/query/result",
        )
    return contracts.ImageComparison(first=first_id, second=second_id, result=result, test=_image_answer(test))


def _run(session: Session, run_id: int, pointer: str) -> Run:
    run = runs.get(session, run_id)
    if run is None:
        raise NotFound("run", run_id, pointer)
    return run


def _group(session: Session, catalog: Catalog, run_ids: Sequence[int], pointer: str) -> Group:
    members = [_run(session, run_id, f"{pointer}/{index}") for index, run_id in enumerate(run_ids)]
    groups = grouped(catalog, members)
    if len(groups) > 1:
        raise InvalidField(
            f"expected runs that differ only in the seed; they differ in {', '.join(differing_settings(groups))}",
            pointer,
        )
    return groups[0]


def plain_regularizers(catalog: Catalog) -> frozenset[str]:
    """Return the regularizers without a penalty."""
    entries = catalog.by_kind[RegularizerEntry.kind].values()
    return frozenset(entry.key for entry in entries if isinstance(entry, RegularizerEntry) and not entry.penalises)


def grouped(catalog: Catalog, members: Sequence[Run]) -> list[Group]:
    """Return the groups of these runs, with the catalog's baselines and bounds of results."""
    return group_runs(members, plain_regularizers(catalog), result_bounds(catalog))


def result_bounds(catalog: Catalog) -> BoundsOf:
    """Return the bounds of results by the key of an evaluation and the name of a value."""

    def bounds(evaluation: str, name: str) -> Bounds:
        entry = catalog.by_kind[EvaluationEntry.kind].get(evaluation)
        return bounds_of(name, entry.ranges if isinstance(entry, EvaluationEntry) else ())

    return bounds


def _column(members: Sequence[Run], result: str, pointer: str = "/query/result") -> tuple[Column, bool]:
    """Return the only column of a result on test images, and whether higher is better."""
    offered = [column for column in columns(members) if not is_validation(column)]
    variants = [column for column in offered if column.result == result]
    if not variants:
        known = ", ".join(dict.fromkeys(column.result for column in offered)) or "none yet"
        raise InvalidField(f"no run has this result on test images; known: {known}", pointer)
    if len(variants) > 1:
        apart = "; ".join(
            f"runs {', '.join(str(run.id) for run in members if column in columns_of(run))}" for column in variants
        )
        raise InvalidField(
            f"{result} was evaluated with different parameters or on different data, so these runs cannot be compared: "
            f"{apart}",
            pointer,
        )
    higher = higher_is_better(members, variants[0])
    if higher is None:
        raise InvalidField(f"it is not known whether a high or a low {result} is better", pointer)
    return variants[0], higher


def _accuracies(members: Sequence[Run], data_hash: str) -> list[Column]:
    """Return the columns of the accuracy on these test images."""
    return [
        item
        for item in columns(members)
        if item.result == ACCURACY and item.data_hash == data_hash and not is_validation(item)
    ]


def _flags(session: Session, sides: Sequence[Group], used: Sequence[Column]) -> list[contracts.ClaimFlag]:
    """Return the warnings of the runs and of the evaluations that gave these results, what differs between runs, and
    the runs that are one training."""
    members = [run for group in sides for run in group.runs]
    carriers: dict[tuple[str, str], list[int]] = {}
    names = {column.result.partition(".")[0] for column in used}
    known = []
    for run in members:
        own = [item for item in evaluations.of_run(session, run.id) if item.name in names]
        for flag in [*run.flags, *(flag for item in own for flag in item.flags)]:
            owners = carriers.setdefault((flag.key, flag.text), [])
            owners += [] if run.id in owners else [run.id]
        # Of evaluations before runs kept it in their provenance
        evaluated = {
            item.name: {"version": item.provenance.get("measure_version", 1), "device": item.provenance.get("device")}
            for item in own
        }
        known.append(run.model_copy(update={"provenance": {**run.provenance, "evaluated": evaluated}}))
    flags = [contracts.ClaimFlag(key=key, text=text, runs=ids) for (key, text), ids in carriers.items()]
    if conditions := differing_conditions(known, used):
        runs_apart = sorted({run for condition in conditions for ids in condition.runs.values() for run in ids})
        flags.append(contracts.ClaimFlag(key="other_conditions", text=conditions_text(conditions), runs=runs_apart))
    if text := repeated_text(sides):
        repeated = [run for group in sides for ids in group.repeated for run in ids]
        flags.append(contracts.ClaimFlag(key="repeated_training", text=text, runs=repeated))
    return flags


def _mean(estimate: object) -> contracts.SeedMean | None:
    return None if estimate is None else contracts.SeedMean.model_validate(estimate, from_attributes=True)


def _selected(row: Selection, index: dict[int, int]) -> contracts.SelectedLambda:
    return contracts.SelectedLambda(
        groups=[index[id(group)] for group in row.method.groups],
        baseline=index[id(row.baseline)],
        group=None if row.group is None else index[id(row.group)],
        lambda_=None if row.group is None else row.group.settings["lambda_"],
        edge=row.edge,
        candidates=row.candidates,
        few_seeds=[index[id(group)] for group in row.few_seeds],
        within_budget=row.within,
        accuracy_split=row.accuracy_split,
        result_split=row.result_split,
        baseline_accuracy=contracts.SeedMean.model_validate(row.baseline_accuracy, from_attributes=True),
        accuracy=_mean(row.accuracy),
        loss=row.loss,
        selected_by=_mean(row.selected_by),
        result=_mean(row.result),
        test_accuracy=_mean(row.test_accuracy),
        constraint_split=row.constrained.split if row.constrained else None,
        baseline_constraint=_mean(row.constrained.baseline) if row.constrained else None,
        constraint=_mean(row.constrained.value) if row.constrained else None,
    )


def _question(name: QuestionName, question: Question) -> contracts.ClaimQuestion:
    return contracts.ClaimQuestion(
        question=name,
        verdict=question.verdict,
        threshold=question.threshold,
        p=question.p,
        seeds_needed=question.seeds_needed if question.verdict_over_seeds == "undecided" else None,
        seeds=None
        if question.seeds is None
        else contracts.SeedTest.model_validate(question.seeds, from_attributes=True),
        images=None if question.images is None else _image_answer(question.images),
    )


def _image_answer(test: ImageTest) -> contracts.ImageTest:
    return contracts.ImageTest.model_validate(test, from_attributes=True)
