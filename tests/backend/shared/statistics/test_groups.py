"""Statistics over seeds against closed forms and published tables."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from densitylab.backend.shared.contracts import Run, RunSource, RunSpec, Value
from densitylab.backend.shared.statistics.estimates import Estimate, estimate, t_quantile
from densitylab.backend.shared.statistics.groups import (
    baseline_for,
    columns,
    difference,
    differing_settings,
    flatten,
    group_runs,
    mean_over_seeds,
    repeated_text,
)
from densitylab.backend.shared.statistics.selection import methods


def make_run(
    number: int, *, data_hash: str | None = "d", results: dict[str, float] | None = None, **spec: object
) -> Run:
    evaluations = spec.pop("evaluations", [{"key": "accuracy", "name": "accuracy"}])
    return Run(
        id=number,
        experiment=1,
        task=number,
        status="succeeded",
        created_at=datetime.now(UTC),
        spec=RunSpec.model_validate({**spec, "evaluations": evaluations}),
        evaluations=evaluations,
        results={name: Value(value=value, n=100) for name, value in (results or {}).items()},
        provenance={"data_hash": data_hash} if data_hash else {},
    )


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        (1, 12.7062047362),
        (2, 4.3026527297),
        (3, 3.1824463053),
        (4, 2.7764451052),
        (9, 2.2621571628),
        (10, 2.2281388520),
        (29, 2.0452296421),
        (120, 1.9799304051),
        (499, 1.9647293909),
    ],
)
def test_t_quantile_equals_the_tables(degrees: int, expected: float) -> None:
    assert t_quantile(degrees) == pytest.approx(expected, abs=5e-9)


def test_t_quantile_of_two_degrees_in_closed_form() -> None:
    # F^-1(p) = (2p − 1) sqrt(2 / (4 p (1 − p))) for 2 degrees of freedom
    p = 0.995
    assert t_quantile(2, 0.99) == pytest.approx((2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p))), rel=1e-9)


def test_t_quantile_refuses_no_degrees() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        t_quantile(0)


def test_estimate_of_three_values() -> None:
    found = estimate([1.0, 2.0, 3.0])
    assert found == Estimate(
        2.0, pytest.approx(2 - 4.3026527297 / math.sqrt(3)), pytest.approx(2 + 4.3026527297 / math.sqrt(3)), 3
    )


def test_estimate_of_one_value_has_no_interval() -> None:
    assert estimate([0.5]) == Estimate(0.5, None, None, 1)
    assert estimate([]) is None


def test_flat_names_the_leaves() -> None:
    assert flatten({"a": {"b": 1, "c": {}}, "d": [1, 2], "e": None}) == {"a.b": 1, "d": [1, 2], "e": None}


def test_runs_that_differ_in_the_seed_alone_are_one_group() -> None:
    runs = [
        make_run(n, lambda_=lambda_, seed=seed) for n, (lambda_, seed) in enumerate([(1, 0), (0, 0), (1, 1), (0, 1)], 1)
    ]
    groups = group_runs(runs)
    assert [[run.id for run in group.runs] for group in groups] == [[2, 4], [1, 3]]  # the baseline first
    assert [group.is_baseline for group in groups] == [True, False]
    assert differing_settings(groups) == ["lambda_"]


def test_a_regularizer_without_a_penalty_is_a_baseline_whatever_the_weight_is() -> None:
    runs = [make_run(1, lambda_=1, regularizer={"key": "a"}), make_run(2, lambda_=1, regularizer={"key": "b"})]
    assert [group.is_baseline for group in group_runs(runs, plain={"b"})] == [True, False]
    assert [group.is_baseline for group in group_runs(runs)] == [False, False]


def test_runs_without_a_penalty_are_one_baseline_whatever_their_regularizer_and_schedule_are() -> None:
    runs = [
        make_run(1, lambda_=0, seed=0, regularizer={"key": "a", "params": {"power": 2}}),
        make_run(2, lambda_=1, seed=0, regularizer={"key": "a", "params": {"power": 2}}),
        make_run(3, lambda_=0, seed=1, regularizer={"key": "b"}, schedule={"key": "cosine"}),
        make_run(4, lambda_=1, seed=0, regularizer={"key": "b"}, schedule={"key": "cosine"}),
        make_run(5, lambda_=1, seed=2, regularizer={"key": "none"}),
        make_run(6, lambda_=0, seed=0, algorithm={"key": "group_dro"}),
        make_run(7, lambda_=0, seed=0, epochs=7),
    ]
    groups = group_runs(reversed(runs), plain={"none"})
    by_runs = {tuple(run.id for run in group.runs): group for group in groups}
    assert set(by_runs) == {(1, 3, 5), (2,), (4,), (6,), (7,)}  # algorithms and other settings stay apart
    pooled = by_runs[1, 3, 5]
    assert pooled.is_baseline and (pooled.settings["regularizer.key"], pooled.settings["lambda_"]) == ("none", 0)
    assert baseline_for(by_runs[2,], groups) is baseline_for(by_runs[4,], groups) is pooled


def test_a_training_that_occurs_twice_counts_once() -> None:
    results = {"accuracy.accuracy": 0.0}
    runs = [
        make_run(number, lambda_=0, seed=seed, regularizer={"key": key}, results=results | {"accuracy.accuracy": value})
        for number, key, seed, value in ((1, "a", 0, 0.5), (2, "a", 1, 0.7), (3, "b", 0, 0.5), (4, "b", 1, 0.8))
    ]
    runs.append(make_run(5, lambda_=0, seed=0, regularizer={"key": "c"}))  # without a result it takes no one's place
    (group,) = group_runs(runs)
    (column,) = columns(runs)
    mean = mean_over_seeds(group, column)
    assert mean is not None and (mean.n, mean.mean) == (2, pytest.approx(0.65))
    assert group.repeated == [[1, 3], [2, 4]]
    assert repeated_text([group]) == (
        "Trained more than once with the same settings and seed: runs 1 and 3; 2 and 4. Of each only the newest run "
        "with a result counts."
    )
    assert repeated_text(group_runs(runs[:2])) == ""


@pytest.mark.parametrize(
    ("kind", "key", "params"),
    [
        ("regularizer", "input_gradient", {"estimator": "double_backward"}),
        ("model", "vgg11", {"width": 64}),
    ],
)
def test_runs_from_before_a_parameter_existed_belong_to_its_group(kind: str, key: str, params: dict[str, Any]) -> None:
    before = make_run(1, seed=0, **{kind: {"key": key, "params": {}}})
    after = make_run(2, seed=1, **{kind: {"key": key, "params": params}})
    other = make_run(3, seed=1, **{kind: {"key": key, "params": dict.fromkeys(params, 7)}})
    assert [[run.id for run in group.runs] for group in group_runs([before, after, other])] == [[1, 2], [3]]


def test_a_run_that_has_not_started_belongs_to_its_group() -> None:
    assert len(group_runs([make_run(1, seed=0), make_run(2, seed=1, data_hash=None)])) == 1


def test_runs_on_other_images_have_other_columns() -> None:
    results = {"accuracy.accuracy": 0.5}
    runs = [make_run(run, data_hash=data, results=results) for run, data in ((1, "d"), (2, "e"), (3, None))]
    assert {column.data_hash for column in columns(runs)} - {""} == {"d", "e"}


def test_difference_is_paired_by_seed() -> None:
    runs = [
        make_run(1, lambda_=0, seed=0, results={"accuracy.accuracy": 0.5}),
        make_run(2, lambda_=0, seed=1, results={"accuracy.accuracy": 0.9}),
        make_run(3, lambda_=1, seed=0, results={"accuracy.accuracy": 0.6}),
        make_run(4, lambda_=1, seed=1, results={"accuracy.accuracy": 1.0}),
        make_run(5, lambda_=1, seed=2, results={"accuracy.accuracy": 0.1}),  # has no partner
    ]
    baseline, smoothed = group_runs(runs)
    (column,) = columns(runs)
    assert baseline_for(smoothed, [baseline, smoothed]) is baseline
    assert baseline_for(baseline, [baseline, smoothed]) is None
    found = difference(smoothed, baseline, column)
    # Each pair differs by 0.1 exactly, however much the seeds differ among themselves
    assert found is not None and found.n == 2
    assert (found.mean, found.low, found.high) == (pytest.approx(0.1),) * 3
    mean = mean_over_seeds(smoothed, column)
    assert mean is not None and mean.n == 3 and mean.mean == pytest.approx((0.6 + 1.0 + 0.1) / 3)


def test_results_measured_differently_do_not_share_a_column() -> None:
    def pgd(steps: int) -> list[dict[str, object]]:
        return [{"key": "pgd_linf", "name": "pgd_linf", "params": {"steps": steps}}]

    runs = [
        make_run(1, seed=0, evaluations=pgd(10), results={"pgd_linf.accuracy": 0.2}),
        make_run(2, seed=1, evaluations=pgd(40), results={"pgd_linf.accuracy": 0.1}),
    ]
    found = columns(runs)
    (group,) = group_runs(runs)
    assert len(found) == 2
    assert [mean_over_seeds(group, column).n for column in found] == [1, 1]  # type: ignore[union-attr]


def imported(number: int, file_name: str, lambda_: float | None = None, **given: Any) -> Run:
    run = make_run(number, **given)
    return run.model_copy(update={"origin": "imported", "source": RunSource(file_name=file_name), "lambda_": lambda_})


def test_an_imported_model_is_a_group_of_its_own_that_knows_no_training() -> None:
    results = {"accuracy.accuracy": 0.9}
    runs = [
        imported(1, "a.pt", results=results),
        imported(2, "a.pt", results=results),
        make_run(3, lambda_=0, seed=0, results=results),
        make_run(4, lambda_=0.1, seed=0, results=results, epochs=3),
        make_run(5, lambda_=0.1, seed=1, results=results, epochs=3),
    ]
    groups = group_runs(runs)
    assert [[run.id for run in group.runs] for group in groups] == [[3], [4, 5], [1], [2]]
    assert {name.partition(".")[0] for name in groups[2].settings} == {
        "source",
        "dataset",
        "model",
        "interface",
        "lambda_",
        "data_hash",
    }
    assert groups[2].settings["lambda_"] is None and groups[2].seeds == [] and groups[1].seeds == [0, 1]
    assert differing_settings(groups) == ["lambda_", "epochs"]
    assert baseline_for(groups[2], groups) is None and not groups[2].is_baseline
    (column,) = columns(runs)
    assert difference(groups[2], groups[0], column) is None  # no seed to pair by
    assert mean_over_seeds(groups[2], column) == Estimate(0.9, None, None, 1)


def test_imported_models_are_on_a_curve_over_lambda_only_with_a_stated_one() -> None:
    trained = [make_run(number, lambda_=lambda_) for number, lambda_ in ((1, 0), (2, 0.1))]
    unknown = imported(3, "a.pt")
    known = [imported(number, f"{number}.pt", lambda_) for number, lambda_ in ((4, 0.0), (5, 0.1), (6, 1.0))]
    over_lambda = [
        [run.id for group in method.groups for run in group.runs]
        for method in methods(group_runs([*trained, unknown, *known]))
    ]
    assert over_lambda == [[1, 2], [4, 5, 6]]
    groups = group_runs([unknown, *known])
    assert [group.runs[0].id for group in groups] == [4, 5, 6, 3]
    assert baseline_for(groups[1], groups) is groups[0]
