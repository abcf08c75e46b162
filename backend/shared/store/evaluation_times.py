"""Seconds that evaluations have taken."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from densitylab.backend.shared.contracts import RunSpec
from densitylab.backend.shared.specs import dataset_hash
from densitylab.backend.shared.store.similar_runs import newest_started
from densitylab.backend.shared.tables import EvaluationRow, RunRow

_RECENT = 50  # newest started runs with these keys that are read


def similar_evaluations(session: Session, spec: RunSpec) -> Iterator[tuple[str, dict[str, Any], str, float]]:
    """Yield key, parameters, split and seconds of the finished evaluations of recent runs with the same data set and
    model, parameters included, on the requested device."""
    statement = (
        select(RunRow.spec, EvaluationRow.key, EvaluationRow.params, EvaluationRow.split, EvaluationRow.seconds)
        .join(EvaluationRow, EvaluationRow.run_id == RunRow.id)
        .where(RunRow.id.in_(newest_started(spec, _RECENT)))
    )
    for stored, key, params, split, seconds in session.execute(statement):
        same_data = dataset_hash(stored["dataset"]["params"]) == dataset_hash(spec.dataset.params)
        if same_data and stored["model"] == spec.model.model_dump() and seconds is not None:
            yield key, params, split, seconds
