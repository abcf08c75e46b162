"""Estimated times of planned runs, which their tasks keep for the time left."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from densitylab.backend.services.estimates.capacity import Capacity
from densitylab.backend.services.estimates.evaluation_cost import evaluation_times_of
from densitylab.backend.services.estimates.training_cost import training_times_of
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.specs import Planned


def with_expected_times(
    session: Session, catalog: Catalog, capacity: Capacity, every: Sequence[Planned]
) -> list[Planned]:
    """Return planned runs, which have the checkpoints that they start from, with the times that Launch states."""
    trained = training_times_of(session, catalog, capacity, every)
    evaluated = evaluation_times_of(session, catalog, capacity, [item.spec for item in every])
    return [
        replace(item, training_seconds=seconds, evaluation_seconds=times.each)
        for item, seconds, times in zip(every, trained.seconds, evaluated, strict=True)
    ]
