"""Evaluations of studies that only the selected λ get: requested once all runs of a launch have ended."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from densitylab.backend.broker.queue import Queue
from densitylab.backend.services import evaluations
from densitylab.backend.services.study_results import StudyResults
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.catalog import Catalog, StudyLaunch
from densitylab.backend.shared.contracts import EvaluationSpec
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.errors import DomainError
from densitylab.backend.shared.store import experiments, registered_datasets, studies
from densitylab.backend.shared.store.studies import StoredLaunch, StoredStudy


def waits(planned: StudyLaunch, launch: StoredLaunch) -> bool:
    """Return whether evaluations of the selected λ of a launch are still to be requested."""
    return bool(planned.of_selected) and launch.experiment is not None and not launch.evaluated


def with_replaced(item: Mapping[str, Any], replaced: Mapping[str, str]) -> dict[str, Any]:
    """Return an evaluation of a study with the data sets that take the place of its own."""
    params = dict(item.get("params", {}))
    if params.get("against"):
        key = params["against"]["key"]
        params["against"] = {**params["against"], "key": replaced.get(key, key)}
    return {**item, "params": params}


def request_due(database: Database, catalog: Catalog, queue: Queue, store: ArtifactStore, study_id: int) -> bool:
    """Request the evaluations of the selected λ of launches whose runs have ended; return whether all are requested. A
    repeated call requests nothing twice. The caller delivers the tasks.

    Args:
        catalog: of what is installed; the registered data sets are added to it.
    """
    with database.read() as session:  # while runs are going there is nothing to write
        stored = studies.get(session, study_id)
        if stored is not None and not _any_due(session, stored):
            return not any(map(waits, stored.definition.size.launches, stored.launches))
    with database.write() as session:
        stored = studies.lock(session, study_id)
        if stored is None:
            return True
        catalog = registered_datasets.with_registered(session, catalog)
        plans = stored.definition.size.launches
        launches = [
            _requested(session, catalog, queue, store, stored, planned, launch) if waits(planned, launch) else launch
            for planned, launch in zip(plans, stored.launches, strict=True)
        ]
        if launches != stored.launches:
            studies.set_launches(session, study_id, launches)
        return not any(map(waits, plans, launches))


def _any_due(session: Session, stored: StoredStudy) -> bool:
    """Return whether the runs of a launch that waits have ended, or are deleted."""
    pairs = zip(stored.definition.size.launches, stored.launches, strict=True)
    waiting = [launch.experiment for planned, launch in pairs if waits(planned, launch)]
    found = experiments.many(session, [number for number in waiting if number is not None])
    return any(number not in found or found[number].finished for number in waiting)


def _requested(
    session: Session,
    catalog: Catalog,
    queue: Queue,
    store: ArtifactStore,
    stored: StoredStudy,
    planned: StudyLaunch,
    launch: StoredLaunch,
) -> StoredLaunch:
    assert launch.experiment is not None
    experiment = experiments.many(session, [launch.experiment]).get(launch.experiment)
    if experiment is None:  # deleted
        return replace(launch, evaluated=True)
    if not experiment.finished:
        return launch
    results = StudyResults(session, catalog, stored.definition, launch.key, launch.experiment)
    groups = [*results.baselines, *(row.group for row in results.selection if row.group is not None)]
    trained = sorted({run.id for group in groups for run in group.runs if run.checkpoint_step is not None})
    refusals = [
        refusal
        for item in planned.of_selected
        if (refusal := _request(session, catalog, queue, store, trained, with_replaced(item, stored.datasets)))
    ]
    left_out = " ".join(filter(None, [launch.left_out, *refusals]))
    return replace(launch, evaluated=True, left_out=left_out)


def _request(
    session: Session,
    catalog: Catalog,
    queue: Queue,
    store: ArtifactStore,
    run_ids: Sequence[int],
    wanted: Mapping[str, Any],
) -> str:
    """Request an evaluation of each run; return "", or in a sentence why it is not possible."""
    try:
        for run_id in run_ids:
            spec = EvaluationSpec.model_validate(wanted)
            spec.name = spec.name or spec.default_name  # the name by which tables and claims find it
            evaluations.request(session, catalog, queue, store, run_id, spec)
    except DomainError as refused:
        return f"{wanted.get('name', wanted['key'])} of the selected λ: {refused}"
    return ""
