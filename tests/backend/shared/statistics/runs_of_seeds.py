"""Runs with made-up results, for tests of statistics."""

import itertools
from typing import Any

from densitylab.backend.shared.contracts import Run, RunSpec, Value
from densitylab.backend.shared.statistics.estimates import wilson

_numbers = itertools.count(1)


def make_run(
    regularizer: str,
    lambda_: float,
    seed: int,
    *,
    params: dict[str, Any] | None = None,
    validation: float | None = None,
    results: dict[str, float] | None = None,
    images: int | None = None,
    flags: tuple[str, ...] = (),
    **provenance: str,
) -> Run:
    """Return a finished run.

    Args:
        validation: the last accuracy of its curve on validation images.
        results: by `<evaluation>.<value>`; the evaluation `pgd_validation` is `pgd_linf` on validation images.
        images: of each result, which then is a proportion with Wilson's interval.
    """
    number = next(_numbers)
    spec = {"regularizer": {"key": regularizer, "params": params or {}}, "lambda_": lambda_, "seed": seed}
    evaluations = [
        {"key": key, "name": name, "split": split, "params": {"steps": 10}}
        for key, name, split in (
            ("accuracy", "accuracy", "test"),
            ("pgd_linf", "pgd_linf", "test"),
            ("pgd_linf", "pgd_validation", "validation"),
            ("leakage", "leakage", "test"),
        )
    ]

    def value(name: str, number: float) -> Value:
        low, high = wilson(number, images) if images else (None, None)
        return Value(value=number, low=low, high=high, n=images or 100, higher_is_better=not name.startswith("leakage"))

    return Run(
        id=number,
        experiment=1,
        task=number,
        status="succeeded",
        created_at="2026-01-01T00:00:00Z",
        spec=RunSpec.model_validate(spec),
        evaluations=evaluations,
        metrics={} if validation is None else {"validation_accuracy": validation},
        results={name: value(name, number) for name, number in (results or {}).items()},
        flags=[{"key": flag, "text": f"{flag}."} for flag in flags],
        provenance={"data_hash": "d", **provenance},
    )
