"""Starting experiments: all of one, or nothing."""

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.shared import specs
from backend.shared.catalog import find
from backend.shared.contracts import ExperimentRequest, TaskKind
from backend.shared.database import Database
from backend.shared.store import datasets, experiments, idempotency, tasks


class NotPrepared(RuntimeError):
    """The data set has to be downloaded and prepared first, which a launch never does by itself."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"the data set {key!r} is not prepared here yet: POST /api/v1/datasets/{key}/prepare, and launch again "
            "when its task has succeeded"
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
        for item in planned:
            prepare_if_embedded(session, item.spec.dataset.key, item.spec.dataset.params)
        experiment = experiments.create(
            session, name=request.name, notes=request.notes, tags=request.tags, request=posted, planned=planned,
            provenance=provenance, priority=request.priority,
        )
        if idempotency_key is not None:
            idempotency.remember(session, idempotency_key, specs.content_hash(posted), experiment.id)
        return experiment.id


def prepare_if_embedded(session: Session, key: str, params: dict[str, object]) -> None:
    """Queues the preparation of an embedded data set that is not ready. Raises NotPrepared for any other."""
    row = datasets.get(session, key, params)
    if row is not None and row.ready:
        return
    if not find("dataset", key).embedded:
        raise NotPrepared(key)
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
