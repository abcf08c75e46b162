"""Statistics over seeds against closed forms and published tables."""

import math
from datetime import UTC, datetime

import pytest

from backend.shared.contracts import Run, RunSpec, Value
from frontend.aggregate import (
    Estimate,
    baseline_for,
    columns,
    data_hashes,
    difference,
    differing,
    estimate,
    flat,
    grouped,
    mean_over_seeds,
    t_quantile,
)


def make_run(
    number: int, *, data_hash: str | None = "d", results: dict[str, float] | None = None, **spec: object
) -> Run:
    evaluations = spec.pop("evaluations", [{"key": "accuracy", "name": "accuracy"}])
    return Run(
        id=number, experiment=1, task=number, status="succeeded", created_at=datetime.now(UTC),
        spec=RunSpec.model_validate({**spec, "evaluations": evaluations}), evaluations=evaluations,
        results={name: Value(value=value, n=100) for name, value in (results or {}).items()},
        provenance={"data_hash": data_hash} if data_hash else {},
    )


@pytest.mark.parametrize(("degrees", "expected"), [
    (1, 12.7062047362), (2, 4.3026527297), (3, 3.1824463053), (4, 2.7764451052), (9, 2.2621571628),
    (10, 2.2281388520), (29, 2.0452296421), (120, 1.9799304051), (499, 1.9647293909),
])
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
    assert found == Estimate(2.0, pytest.approx(2 - 4.3026527297 / math.sqrt(3)),
                             pytest.approx(2 + 4.3026527297 / math.sqrt(3)), 3)


def test_estimate_of_one_value_has_no_interval() -> None:
    assert estimate([0.5]) == Estimate(0.5, None, None, 1)
    assert estimate([]) is None


def test_flat_names_the_leaves() -> None:
    assert flat({"a": {"b": 1, "c": {}}, "d": [1, 2], "e": None}) == {"a.b": 1, "d": [1, 2], "e": None}


def test_runs_that_differ_in_the_seed_alone_are_one_group() -> None:
    runs = [make_run(n, lambda_=lambda_, seed=seed)
            for n, (lambda_, seed) in enumerate([(1, 0), (0, 0), (1, 1), (0, 1)], 1)]
    groups = grouped(runs)
    assert [[run.id for run in group.runs] for group in groups] == [[2, 4], [1, 3]]  # the baseline first
    assert [group.is_baseline for group in groups] == [True, False]
    assert differing(groups) == ["lambda_"]


def test_a_regularizer_without_a_penalty_is_a_baseline_whatever_the_weight_is() -> None:
    runs = [make_run(1, lambda_=1, regularizer={"key": "a"}), make_run(2, lambda_=1, regularizer={"key": "b"})]
    assert [group.is_baseline for group in grouped(runs, plain={"b"})] == [True, False]
    assert [group.is_baseline for group in grouped(runs)] == [False, False]


def test_a_run_that_has_not_started_belongs_to_its_group() -> None:
    assert len(grouped([make_run(1, seed=0), make_run(2, seed=1, data_hash=None)])) == 1


def test_runs_on_other_images_are_told() -> None:
    assert data_hashes([make_run(1), make_run(2, data_hash="e"), make_run(3, data_hash=None)]) == {"d", "e"}


def test_difference_is_paired_by_seed() -> None:
    runs = [
        make_run(1, lambda_=0, seed=0, results={"accuracy.accuracy": 0.5}),
        make_run(2, lambda_=0, seed=1, results={"accuracy.accuracy": 0.9}),
        make_run(3, lambda_=1, seed=0, results={"accuracy.accuracy": 0.6}),
        make_run(4, lambda_=1, seed=1, results={"accuracy.accuracy": 1.0}),
        make_run(5, lambda_=1, seed=2, results={"accuracy.accuracy": 0.1}),  # has no partner
    ]
    baseline, smoothed = grouped(runs)
    column, = columns(runs)
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

    runs = [make_run(1, seed=0, evaluations=pgd(10), results={"pgd_linf.accuracy": 0.2}),
            make_run(2, seed=1, evaluations=pgd(40), results={"pgd_linf.accuracy": 0.1})]
    found = columns(runs)
    group, = grouped(runs)
    assert len(found) == 2
    assert [mean_over_seeds(group, column).n for column in found] == [1, 1]  # type: ignore[union-attr]
