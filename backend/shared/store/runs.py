"""Runs: what was asked, what came of it. A run shows the life of its train task."""

import copy
import math
from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import Select, Table, and_, bindparam, delete, insert, select
from sqlalchemy.orm import Session

from backend.shared import contracts, specs
from backend.shared.contracts import SPEC_VERSION, Status, TaskKind
from backend.shared.database import now
from backend.shared.store import events, outbox, tasks
from backend.shared.store.times import moment
from backend.shared.tables import ArtifactRow, Base, EvaluationRow, LatestRow, ResultRow, RunRow, TaskRow

_NO_KEY_UPDATE = {"key_share": True}  # PostgreSQL holds the row, and lets rows be written that refer to it


def create(
    session: Session, experiment_id: int, planned: Sequence[contracts.RunSpec], provenance: dict[str, Any],
    priority: contracts.Priority = contracts.Priority.NORMAL,
) -> list[int]:
    """Inserts runs with their train tasks and their evaluations, all queued; five statements for however many."""
    at = now(session)
    stored = [spec.model_dump() for spec in planned]
    hashes = [specs.content_hash(spec) for spec in stored]
    run_ids = insert_rows(session, RunRow, [
        {
            "experiment_id": experiment_id, "spec_version": SPEC_VERSION, "spec": dumped, "spec_hash": digest,
            "dataset": spec.dataset.key, "model": spec.model.key, "regularizer": spec.regularizer.key,
            "lambda_": spec.lambda_, "notes": "",
            "tags": [], "archived": False, "deleting": False, "metrics": {}, "results": {},
            "flags": [flag.model_dump() for flag in specs.cautions(spec)],
            "provenance": {**provenance, "spec_hash": digest}, "created_at": at,
        }
        for spec, dumped, digest in zip(planned, stored, hashes, strict=True)
    ])
    train_ids = insert_rows(session, TaskRow, [
        tasks.queued(TaskKind.TRAIN, at, run_id=run_id, priority=priority) for run_id in run_ids
    ])
    events.note(session, TaskRow.id.in_(train_ids))
    measures = [
        (run_id, train_id, item)
        for run_id, train_id, spec in zip(run_ids, train_ids, planned, strict=True) for item in spec.evaluations
    ]
    evaluate_ids = insert_rows(session, TaskRow, [
        tasks.queued(TaskKind.EVALUATE, at, run_id=run_id, after_task=train_id, priority=priority)
        for run_id, train_id, _ in measures
    ])
    insert_rows(session, EvaluationRow, [
        {
            "run_id": run_id, "task_id": task_id, "name": item.name or item.key, "key": item.key,
            "params": item.params, "values": {}, "curves": {}, "flags": [], "provenance": {}, "created_at": at,
        }
        for task_id, (run_id, _, item) in zip(evaluate_ids, measures, strict=True)
    ])
    return run_ids


def insert_rows(session: Session, table: type[Base], rows: list[dict[str, Any]]) -> list[int]:
    """Inserts them at once; returns their ids in the same order."""
    if not rows:
        return []
    columns = cast(Table, table.__table__)  # of the table: half the time of the mapped class
    return list(session.scalars(insert(columns).returning(columns.c.id, sort_by_parameter_order=True), rows))


def get(session: Session, run_id: int) -> contracts.Run | None:
    return many(session, [run_id]).get(run_id)


def exists(session: Session, run_id: int) -> bool:
    return session.scalar(_EXISTS, {"run_id": run_id}) is not None


_EXISTS = select(RunRow.id).where(RunRow.id == bindparam("run_id"), RunRow.deleting.is_(False))


def many(session: Session, run_ids: Sequence[int]) -> dict[int, contracts.Run]:
    """The runs that exist, by id."""
    rows = session.execute(_select().where(RunRow.id.in_(run_ids))).all()
    positions = outbox.queue_positions(session, [task.id for _, task in rows if task.status == Status.QUEUED])
    asked: dict[int, list[contracts.EvaluationSpec]] = {}
    for item in session.execute(measures(run_ids)):
        spec = contracts.EvaluationSpec.model_construct(key=item.key, params=item.params, name=item.name)
        asked.setdefault(item.run_id, []).append(spec)
    return {run.id: _answer(run, task, positions.get(task.id), asked.get(run.id, [])) for run, task in rows}


def measures(run_ids: Sequence[int]) -> Select:
    """Selects run_id, name, key and params of the evaluations of these runs, in the order in which they were asked."""
    return (
        select(EvaluationRow.run_id, EvaluationRow.name, EvaluationRow.key, EvaluationRow.params)
        .where(EvaluationRow.run_id.in_(run_ids)).order_by(EvaluationRow.id)
    )


def patch(session: Session, run_id: int, changes: dict[str, Any]) -> bool:
    if not lock(session, run_id):
        return False
    row = session.get_one(RunRow, run_id)
    for field, value in changes.items():
        setattr(row, field, value)
    return True


def lock(session: Session, run_id: int) -> bool:
    """Holds the run until the end of a write transaction, so that a deletion and new work exclude each other; says
    whether it exists.

    Workers hold their task and then need the run, so that who holds a run must not wait for a task at work.
    """
    row = session.get(RunRow, run_id, with_for_update=_NO_KEY_UPDATE, populate_existing=True)
    return row is not None and not row.deleting


def train_task(session: Session, run_id: int) -> int | None:
    """The id of the run's train task."""
    return session.scalar(select(TaskRow.id).where(TaskRow.run_id == run_id, TaskRow.kind == TaskKind.TRAIN))


# ---- what the worker writes; call tasks.fence first ------------------------------------------------------------


def set_started(session: Session, run_id: int, *, device: str, data_hash: str, provenance: dict[str, Any]) -> None:
    """Notes on what the run is trained. `provenance` is added to what the launch noted."""
    row = session.get_one(RunRow, run_id)
    row.device, row.data_hash = device, data_hash
    row.provenance = {**row.provenance, **provenance, "data_hash": data_hash}


def set_metrics(session: Session, run_id: int, latest: dict[str, float]) -> None:
    """Keeps the latest value of each curve."""
    row = session.get_one(RunRow, run_id)
    row.metrics = {**row.metrics, **latest}
    session.execute(delete(LatestRow).where(LatestRow.run_id == run_id, LatestRow.name.in_(latest)))
    numbers = [
        {"run_id": run_id, "name": name, "value": value} for name, value in latest.items() if math.isfinite(value)
    ]
    if numbers:
        session.execute(insert(cast(Table, LatestRow.__table__)), numbers)


def set_results(session: Session, run_id: int, evaluation: str, values: dict[str, contracts.Value]) -> None:
    """Puts an evaluation's values into the run's flat results, in place of its earlier ones."""
    row = session.get_one(RunRow, run_id, with_for_update=_NO_KEY_UPDATE)
    kept = {name: value for name, value in row.results.items() if name.split(".")[0] != evaluation}
    row.results = {**kept, **{f"{evaluation}.{name}": value.model_dump() for name, value in values.items()}}
    session.execute(delete(ResultRow).where(
        ResultRow.run_id == run_id, ResultRow.name.startswith(f"{evaluation}.", autoescape=True)
    ))
    numbers = [
        {"run_id": run_id, "name": f"{evaluation}.{name}", "value": value.value}
        for name, value in values.items() if value.value is not None
    ]
    if numbers:
        session.execute(insert(cast(Table, ResultRow.__table__)), numbers)


def move_checkpoint(session: Session, run_id: int, *, location: str, size: int, step: int) -> str | None:
    """Points the run at a new checkpoint file; returns the old one's location, to be deleted after the commit."""
    row = session.get_one(RunRow, run_id)
    row.checkpoint_step = step
    return put_artifact(session, run_id, "checkpoint.pt", location=location, size=size,
                        media_type="application/octet-stream", step=step)


def put_artifact(
    session: Session, run_id: int, name: str, *, location: str, size: int, media_type: str, step: int | None = None,
) -> str | None:
    """Points the run's artifact `name` at a file; returns the location that it replaces."""
    row = session.scalar(select(ArtifactRow).where(ArtifactRow.run_id == run_id, ArtifactRow.name == name))
    at = now(session)
    old = None
    if row is None:
        row = ArtifactRow(run_id=run_id, name=name)
        session.add(row)
    elif row.location != location:
        old = row.location
    row.location, row.bytes, row.media_type, row.step, row.created_at = location, size, media_type, step, at
    session.flush()
    return old


# ---- artifacts ------------------------------------------------------------------------------------------------


def artifacts(session: Session, run_id: int) -> list[contracts.Artifact]:
    rows = session.scalars(select(ArtifactRow).where(ArtifactRow.run_id == run_id).order_by(ArtifactRow.name))
    return [
        contracts.Artifact(name=row.name, bytes=row.bytes, media_type=row.media_type, step=row.step,
                           created_at=moment(row.created_at))
        for row in rows
    ]


def artifact(session: Session, run_id: int, name: str) -> ArtifactRow | None:
    """The row, with its location."""
    return session.scalar(select(ArtifactRow).where(ArtifactRow.run_id == run_id, ArtifactRow.name == name))


def checkpoints(session: Session, run_ids: Sequence[int]) -> dict[int, ArtifactRow]:
    """The checkpoint's row of each run that has one."""
    rows = session.scalars(
        select(ArtifactRow).where(ArtifactRow.run_id.in_(run_ids), ArtifactRow.name == "checkpoint.pt")
    )
    return {row.run_id: row for row in rows}


# ---- deletion -------------------------------------------------------------------------------------------------


def mark_deleting(session: Session, run_id: int) -> None:
    """From here on the run is gone for every reader; its files and rows follow."""
    row = session.get(RunRow, run_id)
    if row is not None:
        row.deleting = True


def deleting(session: Session) -> list[int]:
    """Runs whose deletion was begun and not finished."""
    return list(session.scalars(select(RunRow.id).where(RunRow.deleting.is_(True))))


def remove(session: Session, run_id: int) -> None:
    """Removes the run's row and all that belongs to it."""
    session.execute(delete(RunRow).where(RunRow.id == run_id))


# ---- reading --------------------------------------------------------------------------------------------------


def _select() -> Select:
    return (
        select(RunRow, TaskRow)
        .join(TaskRow, and_(TaskRow.run_id == RunRow.id, TaskRow.kind == TaskKind.TRAIN))
        .where(RunRow.deleting.is_(False))
    )


def _answer(
    row: RunRow, task: TaskRow, position: int | None, evaluations: list[contracts.EvaluationSpec]
) -> contracts.Run:
    return contracts.Run.model_construct(
        id=row.id, experiment=row.experiment_id, spec=stored_spec(row.spec), evaluations=evaluations,
        status=Status(task.status), stage=tasks.stage_of(task), priority=tasks.priority_of(task.priority),
        queue_position=position, attempt=task.attempt, progress=task.progress, eta_seconds=task.eta_seconds,
        metrics=row.metrics, results=_values(row.results), flags=[contracts.Flag(**flag) for flag in row.flags],
        error=task.error, device=row.device, checkpoint_step=row.checkpoint_step, task=task.id, notes=row.notes,
        tags=row.tags, archived=row.archived, created_at=moment(row.created_at), started_at=moment(task.started_at),
        finished_at=moment(task.finished_at), provenance=row.provenance,
    )


# What runs of the first version did without saying so; every other part of a later version has a default
_PARTS_SINCE_VERSION_2 = {
    "lr_schedule": {"key": "constant", "params": {"warm_up": 0.0}}, "augmentation": {"key": "none", "params": {}},
}


def stored_spec(stored: dict[str, Any]) -> contracts.RunSpec:
    """A stored spec as it stands: it was validated when it was launched, and is not judged by newer rules."""
    known = {name: stored[name] for name in contracts.RunSpec.model_fields if name in stored}
    known = copy.deepcopy(_PARTS_SINCE_VERSION_2) | known
    for kind in specs.COMPONENTS:
        known[kind] = contracts.Component.model_construct(**known[kind])
    if known.get("early_stop"):
        known["early_stop"] = contracts.EarlyStop.model_construct(**known["early_stop"])
    known["evaluations"] = [contracts.EvaluationSpec.model_construct(**item) for item in known["evaluations"]]
    return contracts.RunSpec.model_construct(**known)


def _values(stored: dict[str, Any]) -> dict[str, contracts.Value]:
    return {name: contracts.Value.model_construct(**value) for name, value in stored.items()}
