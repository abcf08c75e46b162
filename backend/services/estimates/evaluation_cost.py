"""Estimated time of the evaluations of runs."""

import json
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from sqlalchemy.orm import Session

from densitylab.backend.shared.contracts import RunSpec
from densitylab.backend.shared.store import evaluation_times


def evaluation_seconds(session: Session, planned: Sequence[RunSpec]) -> list[float | None]:
    """Return the seconds of each run's evaluations, by the medians of finished ones with the same parameters, data and
    model; None for a run with an evaluation that has not been measured.

    Args:
        planned: complete specs.
    """
    known: dict[str, dict[str, float]] = {}
    answers = []
    for spec in planned:
        kind = json.dumps([spec.dataset.model_dump(), spec.model.model_dump(), spec.device], sort_keys=True)
        if kind not in known:
            known[kind] = _medians(session, spec)
        seconds = [known[kind].get(_key(item.key, item.params, item.split)) for item in spec.evaluations]
        answers.append(None if None in seconds else sum(value for value in seconds if value is not None))
    return answers


def _medians(session: Session, spec: RunSpec) -> dict[str, float]:
    measured: dict[str, list[float]] = {}
    for key, params, split, seconds in evaluation_times.similar_evaluations(session, spec):
        measured.setdefault(_key(key, params, split), []).append(seconds)
    return {key: median(values) for key, values in measured.items()}


def _key(key: str, params: Mapping[str, Any], split: str) -> str:
    return json.dumps([key, params, split], sort_keys=True)
