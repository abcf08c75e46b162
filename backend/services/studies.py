"""Studies: launched as one experiment for each of their launches, and gone on with where data sets were missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from densitylab.backend.broker.queue import Queue
from densitylab.backend.services import datasets, experiments
from densitylab.backend.services.availability import require_available
from densitylab.backend.services.estimates import preflight
from densitylab.backend.services.estimates.capacity import Capacity
from densitylab.backend.services.idempotency import once
from densitylab.backend.services.study_evaluations import waits, with_replaced
from densitylab.backend.shared import contracts, specs
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.catalog import Catalog, DatasetEntry, StudyDefinition, StudyEntry
from densitylab.backend.shared.catalog import StudyLaunch as PlannedLaunch
from densitylab.backend.shared.contracts import ExperimentRequest
from densitylab.backend.shared.contracts import studies as answers
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.errors import InvalidField, InvalidRequest, NotFound
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.statistics.shared_workers import seconds_together
from densitylab.backend.shared.store import experiments as stored_experiments
from densitylab.backend.shared.store import studies
from densitylab.backend.shared.store.datasets import get as prepared
from densitylab.backend.shared.store.idempotency import Key
from densitylab.backend.shared.store.studies import StoredLaunch, StoredStudy

_POINTER = "/path/study_id"


def launch(
    database: Database,
    catalog: Catalog,
    queue: Queue,
    settings: Settings,
    request: answers.StudyRequest,
    provenance: dict[str, str],
    key: Key,
) -> int:
    """Launch a study; return its id. What needs a data set that is missing is left out, with a sentence that says so.
    The caller delivers the tasks.

    Raises:
        InvalidRequest: the study, its size or a data set in place of another does not exist.
        IdempotencyConflict: the key came with another request.
    """
    definition = _definition(catalog, request)
    with database.read() as session:
        ready = [
            _plan(session, catalog, queue, definition, item, request.datasets) for item in definition.size.launches
        ]

    capacity = Capacity.find(queue, settings)

    def make(session: Session) -> int:
        made = [_insert(session, catalog, capacity, item, provenance, key.caller) for item in ready]
        return studies.create(session, definition, request.datasets, made, key.caller)

    return once(database, key, {"study": request.model_dump()}, make).made


def go_on(
    database: Database,
    catalog: Catalog,
    queue: Queue,
    settings: Settings,
    study_id: int,
    provenance: dict[str, str],
    owner: Caller,
) -> None:
    """Launch what was left out of a study and is possible now. The caller delivers the tasks. Raises NotFound."""
    with database.read() as session:
        stored = find(session, study_id)
        ready = {
            planned.key: _plan(session, catalog, queue, stored.definition, planned, stored.datasets)
            for planned, item in zip(stored.definition.size.launches, stored.launches, strict=True)
            if item.experiment is None
        }
    capacity = Capacity.find(queue, settings)
    with database.write() as session:
        locked = studies.lock(session, study_id)
        if locked is None:
            raise NotFound("study", study_id, _POINTER)
        made = [
            _insert(session, catalog, capacity, ready[item.key], provenance, owner)
            if item.experiment is None
            else replace(item, evaluated=False)  # λ that are selected now may be others
            for item in locked.launches
        ]
        studies.set_launches(session, study_id, made)


def find(session: Session, study_id: int) -> StoredStudy:
    """Return a study. Raises NotFound."""
    stored = studies.get(session, study_id)
    if stored is None:
        raise NotFound("study", study_id, _POINTER)
    return stored


def check(
    session: Session, catalog: Catalog, queue: Queue, settings: Settings, request: answers.StudyRequest
) -> answers.StudyPreflight:
    """Return the estimated cost of a study; store nothing. Raises InvalidRequest as a launch does."""
    definition = _definition(catalog, request)
    launches = []
    workers = 0
    for item in definition.size.launches:
        wanted, state = _possible(session, catalog, definition, item, request.datasets)
        runs = most = 0
        seconds: float | None = 0.0
        evaluating: float | None = 0.0
        if wanted is not None:
            try:
                cost = preflight.check(session, catalog, queue, settings, wanted)
                runs, most, seconds, evaluating = cost.runs, cost.max_runs, cost.seconds, cost.evaluation_seconds
                workers = cost.workers
            except InvalidRequest as refused:
                state = replace(state, left_out=str(refused))
        launches.append(
            answers.StudyLaunchPreflight(
                key=item.key,
                label=item.label,
                runs=runs,
                max_runs=most,
                seconds=seconds,
                evaluation_seconds=evaluating,
                spec=_with_replaced_datasets(item.spec, request.datasets),
                sweep=item.sweep,
                search=None if item.search is None else dict(item.search),
                of_selected=[with_replaced(evaluation, request.datasets) for evaluation in item.of_selected],
                left_out=state.left_out,
                prepare=state.prepare,
            )
        )
    return answers.StudyPreflight(
        version=definition.version,
        datasets=sorted(_datasets_of(definition)),
        runs=sum(item.runs for item in launches),
        max_runs=sum(item.max_runs for item in launches),
        seconds=_sum_of_known([item.seconds for item in launches]),
        evaluation_seconds=_sum_of_known([item.evaluation_seconds for item in launches]),
        workers=workers,
        stated_minutes=definition.size.minutes,
        hardware=definition.size.hardware,
        launches=launches,
    )


def _sum_of_known(seconds: Sequence[float | None]) -> float | None:
    """Return the sum; None where one is not known."""
    known = [value for value in seconds if value is not None]
    return sum(known) if len(known) == len(seconds) else None


def describe(session: Session, stored: StoredStudy) -> answers.Study:
    """Return the study with the state of its experiments."""
    return describe_all(session, [stored])[0]


def describe_all(session: Session, stored: Sequence[StoredStudy]) -> list[answers.Study]:
    """Return the studies with the states of their experiments."""
    ids = [item.experiment for study in stored for item in study.launches if item.experiment is not None]
    found = stored_experiments.many(session, ids)
    return [_describe(study, found) for study in stored]


def _describe(stored: StoredStudy, found: Mapping[int, contracts.Experiment]) -> answers.Study:
    plans = stored.definition.size.launches
    labels = {item.key: item.label for item in plans}
    own = [(item, None if item.experiment is None else found.get(item.experiment)) for item in stored.launches]
    there = [experiment for _, experiment in own if experiment is not None]
    runs = [
        sum(number for status, number in experiment.counts.items() if not status.unsuccessful) for experiment in there
    ]
    etas = [experiment.eta_seconds for experiment in there if not experiment.finished]
    return answers.Study(
        id=stored.id,
        key=stored.definition.key,
        label=stored.definition.label,
        version=stored.definition.version,
        question=stored.definition.question,
        size=stored.definition.size.key,
        datasets=stored.datasets,
        launches=[_describe_launch(item, labels[item.key], experiment) for item, experiment in own],
        finished=bool(there)
        and all(experiment.finished for experiment in there)
        and not any(map(waits, plans, stored.launches)),
        progress=sum(experiment.progress * n for experiment, n in zip(there, runs, strict=True)) / max(sum(runs), 1),
        eta_seconds=None if None in etas else seconds_together(there),
        owner=stored.owner,
        created_at=stored.created_at,
    )


def _describe_launch(item: StoredLaunch, label: str, experiment: contracts.Experiment | None) -> answers.StudyLaunch:
    left_out = item.left_out
    if item.experiment is not None and experiment is None:
        left_out = f"Its experiment {item.experiment} was deleted."
    return answers.StudyLaunch(
        key=item.key,
        label=label,
        experiment=None if experiment is None else experiment.id,
        runs=0 if experiment is None else len(experiment.runs),
        counts={} if experiment is None else experiment.counts,
        evaluation_counts={} if experiment is None else experiment.evaluation_counts,
        left_out=left_out,
        prepare=item.prepare,
    )


def _definition(catalog: Catalog, request: answers.StudyRequest) -> StudyDefinition:
    entry = catalog.by_kind[StudyEntry.kind].get(request.key)
    if not isinstance(entry, StudyEntry):
        offered = ", ".join(catalog.by_kind[StudyEntry.kind])
        raise InvalidField(f"there is no study {request.key!r}; on offer: {offered}", "/key")
    size = next((item for item in entry.sizes if item.key == request.size), None)
    if size is None:
        offered = ", ".join(item.key for item in entry.sizes)
        raise InvalidField(f"the study {entry.key!r} has no size {request.size!r}; it has: {offered}", "/size")
    definition = entry.definition(size)
    used = _datasets_of(definition)
    for key, other in request.datasets.items():
        if key not in used:
            detail = f"the study takes no data set {key!r}; it takes: {', '.join(sorted(used))}"
            raise InvalidField(detail, f"/datasets/{key}")
        if other not in catalog.by_kind[DatasetEntry.kind]:
            raise InvalidField(f"there is no data set {other!r}", f"/datasets/{key}")
    return definition


def _datasets_of(definition: StudyDefinition) -> set[str]:
    """Return the keys of the data sets that a study trains on and evaluates against."""
    launches = definition.size.launches
    evaluations = [item for own in launches for item in (*own.spec.get("evaluations", ()), *own.of_selected)]
    against = [item.get("params", {}).get("against") for item in evaluations]
    return {*(own.spec["dataset"]["key"] for own in launches), *(item["key"] for item in against if item)}


@dataclass(frozen=True)
class _Ready:
    """A launch that is planned; without a request where it is not possible now."""

    state: StoredLaunch
    request: ExperimentRequest | None = None
    planned: Sequence[specs.Planned] = ()


def _plan(
    session: Session,
    catalog: Catalog,
    queue: Queue,
    definition: StudyDefinition,
    item: PlannedLaunch,
    replaced: Mapping[str, str],
) -> _Ready:
    wanted, state = _possible(session, catalog, definition, item, replaced)
    if wanted is None:
        return _Ready(state)
    try:
        planned = experiments.plan(session, catalog, wanted)
        if item.of_selected:
            specs_of_selected = [with_replaced(evaluation, replaced) for evaluation in item.of_selected]
            _check_evaluations(session, catalog, wanted, specs_of_selected)
        require_available(queue, catalog, experiments.optional_entries(planned))
    except InvalidRequest as refused:
        return _Ready(replace(state, left_out=str(refused)))
    return _Ready(state, wanted, planned)


def _check_evaluations(
    session: Session, catalog: Catalog, wanted: ExperimentRequest, evaluations: Sequence[Mapping[str, Any]]
) -> None:
    """Raise InvalidRequest for evaluations that runs of a launch cannot have."""
    alone = {"spec": {**wanted.spec, "evaluations": list(evaluations)}, "sweep": None, "search": None}
    experiments.plan(session, catalog, wanted.model_copy(update=alone))


def _insert(
    session: Session,
    catalog: Catalog,
    capacity: Capacity,
    ready: _Ready,
    provenance: dict[str, str],
    owner: Caller,
) -> StoredLaunch:
    if ready.request is None:
        return ready.state
    try:
        experiment = experiments.insert(
            session,
            catalog=catalog,
            capacity=capacity,
            request=ready.request,
            planned=ready.planned,
            provenance=provenance,
            owner=owner,
        )
    except datasets.NotPrepared as missing:  # removed since it was planned
        return replace(ready.state, left_out=str(missing))
    return replace(ready.state, experiment=experiment)


def _possible(
    session: Session,
    catalog: Catalog,
    definition: StudyDefinition,
    item: PlannedLaunch,
    replaced: Mapping[str, str],
) -> tuple[ExperimentRequest | None, StoredLaunch]:
    """Return the request of a launch without evaluations against data sets that are missing, and what is left out; None
    where the data set to train on is missing."""
    spec = _with_replaced_datasets(item.spec, replaced)
    missing = _missing(session, catalog, spec["dataset"])
    if missing:
        return None, StoredLaunch(item.key, left_out=missing, prepare=_prepare_path(spec["dataset"]["key"]))
    kept, left_out, prepare = [], [], None
    for own in spec["evaluations"]:
        against = own["params"].get("against")
        if against and (reason := _missing(session, catalog, against)):
            left_out.append(f"{own.get('name', own['key'])}: {reason}")
            prepare = prepare or _prepare_path(against["key"])
        else:
            kept.append(own)
    request = ExperimentRequest.model_validate(
        {
            "name": f"{definition.label}: {item.label}",
            "spec": {**spec, "evaluations": kept},
            "sweep": item.sweep,
            "search": item.search,
            "tags": ["study", definition.key, definition.size.key],
            "notes": definition.question,
        }
    )
    return request, StoredLaunch(item.key, left_out=" ".join(left_out), prepare=prepare)


def _with_replaced_datasets(spec: Mapping[str, Any], replaced: Mapping[str, str]) -> dict[str, Any]:
    """Return the spec of a launch with the data sets that take the place of its own."""
    key = spec["dataset"]["key"]
    evaluations = [with_replaced(item, replaced) for item in spec.get("evaluations", ())]
    return {**spec, "dataset": {**spec["dataset"], "key": replaced.get(key, key)}, "evaluations": evaluations}


def _prepare_path(key: str) -> str:
    return f"/api/v1/datasets/{key}/prepare"


def _missing(session: Session, catalog: Catalog, dataset: Mapping[str, Any]) -> str:
    """Return a sentence where a data set is not there and does not prepare itself; else ""."""
    entry = datasets.find(catalog, dataset["key"], "/datasets")
    if entry.embedded:
        return ""
    params = datasets.complete_params(catalog, entry, dict(dataset.get("params", {})), "/datasets")
    row = prepared(session, entry.key, params)
    if row is not None and row.ready:
        return ""
    return f"the data set {entry.label} is not prepared: prepare it on the page Data, and continue the study."
