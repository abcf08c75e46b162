"""Starting experiments: all of one, or nothing."""

import json
from collections.abc import Iterable

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.shared import specs
from backend.shared.catalog import find
from backend.shared.contracts import Component, EvaluationSpec, ExperimentRequest, FieldError, RunSpec, TaskKind
from backend.shared.database import Database
from backend.shared.store import datasets, experiments, idempotency, runs, tasks


class NotPrepared(RuntimeError):
    """The data set has to be downloaded and prepared first, which a launch never does by itself."""

    def __init__(self, key: str, params: dict[str, object]) -> None:
        self.key = key
        super().__init__(
            f"the data set {key!r} is not prepared here yet with these parameters: POST /api/v1/datasets/{key}/prepare "
            f"with {json.dumps({'params': params})}, and launch again when its task has succeeded"
        )


def launch(
    database: Database, request: ExperimentRequest, provenance: dict[str, str], idempotency_key: str | None
) -> int:
    """Inserts the experiment with its runs, to be delivered after; returns its id.

    The same key and request again within a day gives the first id again.

    Raises:
        InvalidRequest: fields of the spec or the sweep are wrong.
        NotPrepared: a data set that is not embedded is not ready.
        KeyReused: the key came with another request.
    """
    planned = specs.plan(request.spec, request.sweep)
    try:
        return _launch(database, request, planned, provenance, idempotency_key)
    except IntegrityError:
        # Another request was first by a hair with this key, whose answer is ours too, or with the data's preparation
        return _launch(database, request, planned, provenance, idempotency_key)


def _launch(
    database: Database, request: ExperimentRequest, planned: list[specs.Planned], provenance: dict[str, str],
    idempotency_key: str | None,
) -> int:
    posted = request.model_dump(exclude_unset=True)
    with database.write() as session:
        if idempotency_key is not None:
            earlier = idempotency.recall(session, idempotency_key, specs.content_hash(posted))
            if earlier is not None:
                return earlier
        make_ready(session, [item.spec for item in planned])
        experiment = experiments.create(
            session, name=request.name, notes=request.notes, tags=request.tags, request=posted, planned=planned,
            provenance=provenance, priority=request.priority,
        )
        if idempotency_key is not None:
            idempotency.remember(session, idempotency_key, specs.content_hash(posted), experiment.id)
        return experiment.id


def make_ready(session: Session, planned: Iterable[RunSpec]) -> None:
    """Queues the preparation of all embedded data that runs need. Raises NotPrepared, InvalidRequest."""
    seen = set()
    for spec in planned:
        needs = specs.content_hash([spec.dataset.model_dump(), [item.model_dump() for item in spec.evaluations]])
        if needs not in seen:  # the runs of a sweep mostly need the same
            seen.add(needs)
            prepare_if_embedded(session, spec.dataset.key, spec.dataset.params)
            check_sources(session, spec.dataset, spec.evaluations, at="/spec/evaluations")
            prepare_for(session, spec.evaluations)


def prepare_for(session: Session, measures: Iterable[EvaluationSpec]) -> None:
    """Queues the preparation of embedded data sets that measures name. Raises NotPrepared for any other."""
    for item in measures:
        for param in find("evaluation", item.key).params:
            if param.kind == "dataset" and item.params[param.name] is not None:
                prepare_if_embedded(session, item.params[param.name]["key"], item.params[param.name]["params"])


def check_sources(
    session: Session, dataset: Component, measures: Iterable[EvaluationSpec], *, at: str, of_run: int | None = None
) -> None:
    """Checks the other runs that measures name. Raises InvalidRequest where one is not there, is the measured one, is
    of other data, or has no checkpoint."""
    errors = [
        FieldError(pointer=f"{at}/{index}/params/{param.name}", detail=reason)
        for index, item in enumerate(measures) for param in find("evaluation", item.key).params
        if param.type == "run"
        and (reason := _unusable(session, item.params[param.name], dataset, of_run)) is not None
    ]
    if errors:
        raise specs.InvalidRequest(errors)


def _unusable(session: Session, run_id: int, dataset: Component, of_run: int | None) -> str | None:
    source = runs.get(session, run_id)
    if source is None:
        return f"there is no run {run_id}"
    if run_id == of_run:
        return f"run {run_id} is the measured one: name another"
    if (source.spec.dataset.key, source.spec.dataset.params) != (dataset.key, dataset.params):
        return f"run {run_id} was trained on {source.spec.dataset.key} with other images than this run's {dataset.key}"
    if source.checkpoint_step is None:
        return f"run {run_id} has no checkpoint yet: name one that has trained"
    return None


def prepare_if_embedded(session: Session, key: str, params: dict[str, object]) -> None:
    """Queues the preparation of an embedded data set that is not ready. Raises NotPrepared for any other."""
    row = datasets.get(session, key, params)
    if row is not None and row.ready:
        return
    if not find("dataset", key).embedded:
        raise NotPrepared(key, params)
    prepare(session, key, params)


def prepare(session: Session, key: str, params: dict[str, object]) -> int:
    """Queues the preparation of a data set unless it is under way; returns the task's id."""
    row = datasets.get(session, key, params)
    if row is not None and row.task_id is not None:
        task = tasks.get(session, row.task_id)
        if task is not None and not task.status.final:
            return task.id
    created = tasks.create(session, TaskKind.PREPARE, payload={"key": key, "params": params})
    datasets.set_task(session, key, params, created.id)
    session.flush()
    return created.id
