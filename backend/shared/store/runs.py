"""Runs: their specs, states and results. A run has the status of the one task that makes it: mostly its training."""

import copy
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, cast

from sqlalchemy import Select, Table, and_, bindparam, delete, insert, select
from sqlalchemy.orm import Session

from densitylab.backend.shared import contracts, specs
from densitylab.backend.shared.callers import LOCAL, Caller
from densitylab.backend.shared.contracts import RUN_TASKS, SPEC_VERSION, Origin, Status, TaskKind
from densitylab.backend.shared.contracts.fields import MAX_RUN_NAME
from densitylab.backend.shared.database import now
from densitylab.backend.shared.store import ended_runs, events, lineage, outbox, run_search, tasks
from densitylab.backend.shared.store.id_array import id_array, in_id_array
from densitylab.backend.shared.store.times import to_datetime
from densitylab.backend.shared.store.usually import PRESENT
from densitylab.backend.shared.tables import (
    Base,
    EvaluationRow,
    EventRow,
    LatestRow,
    ResultRow,
    RunRow,
    TaskRow,
)

_NO_KEY_UPDATE = {"key_share": True}  # PostgreSQL locks the row, but allows inserts of rows that refer to it


def create(
    session: Session,
    experiment_id: int,
    planned: Sequence[specs.Planned],
    provenance: dict[str, Any],
    priority: contracts.Priority = contracts.Priority.NORMAL,
    owner: Caller = LOCAL,
) -> list[int]:
    """Insert runs with their train tasks and their evaluations, all queued: seed by seed, so that results of every
    group can be compared early, and of each seed the runs without a penalty first. The runs keep the given order."""
    if not planned:
        return []
    run_ids = insert_runs(session, experiment_id, planned, provenance, owner)
    ordered = sorted(zip(run_ids, planned, strict=True), key=lambda run: (run[1].spec.seed, run[1].spec.lambda_ != 0))
    at = now(session)
    train_ids = _insert_tasks(
        session,
        [
            tasks.queued(TaskKind.TRAIN, at, run_id=run_id, priority=priority, expected_seconds=item.training_seconds)
            for run_id, item in ordered
        ],
    )
    events.note(session, TaskRow.run_id.in_(run_ids))
    queue_evaluations(
        session,
        [
            (run_id, train_ids[run_id][0], evaluation, seconds)
            for run_id, item in ordered
            for evaluation, seconds in zip_longest(item.spec.evaluations, item.evaluation_seconds)
        ],
        priority,
    )
    return run_ids


def insert_runs(
    session: Session,
    experiment_id: int,
    planned: Sequence[specs.Planned],
    provenance: dict[str, Any],
    owner: Caller,
    **columns: Any,
) -> list[int]:
    """Insert runs without tasks; return their ids. `columns` replace those that all of them have otherwise."""
    at = now(session)
    stored = [item.spec.model_dump() for item in planned]
    hashes = [specs.spec_hash(dumped) for dumped in stored]
    rows = [
        {
            "experiment_id": experiment_id,
            "spec_version": SPEC_VERSION,
            "spec": dumped,
            "spec_hash": digest,
            "dataset": item.spec.dataset.key,
            "model": item.spec.model.key,
            "regularizer": item.spec.regularizer.key,
            "lambda_": item.spec.lambda_,
            "init_from_run": item.spec.init_from and item.spec.init_from.run,
            "name": None,
            "notes": "",
            "tags": [],
            "archived": False,
            "deleting": False,
            "metrics": {},
            "results": {},
            "flags": [flag.model_dump() for flag in item.flags],
            "provenance": {
                **provenance,
                "spec_hash": digest,
                **({"plugins": item.plugins} if item.plugins else {}),
                **({"init_from": item.init_from} if item.init_from else {}),
            },
            "owner": owner.name,
            "owner_token": owner.token,
            "created_at": at,
            **columns,
        }
        for item, dumped, digest in zip(planned, stored, hashes, strict=True)
    ]
    run_ids = insert_rows(session, RunRow, rows)
    run_search.add(session, ({**row, "id": run_id} for run_id, row in zip(run_ids, rows, strict=True)))
    return run_ids


def queue_evaluations(
    session: Session,
    evaluations: Sequence[tuple[int, int | None, contracts.EvaluationSpec, float | None]],
    priority: contracts.Priority = contracts.Priority.NORMAL,
) -> None:
    """Insert evaluations with their tasks, queued, as (run, task that they wait for, spec, estimated seconds)."""
    if not evaluations:
        return
    at = now(session)
    evaluate_ids = _insert_tasks(
        session,
        [
            tasks.queued(
                TaskKind.EVALUATE,
                at,
                run_id=run_id,
                after_task=train_id,
                priority=priority,
                expected_seconds=seconds,
            )
            for run_id, train_id, _, seconds in evaluations
        ],
    )
    unused = {run_id: iter(task_ids) for run_id, task_ids in evaluate_ids.items()}
    session.execute(
        insert(cast(Table, EvaluationRow.__table__)),
        [
            {
                "run_id": run_id,
                "task_id": next(unused[run_id]),
                "name": item.name or item.default_name,
                "key": item.key,
                "split": item.split,
                "params": item.params,
                "values": {},
                "curves": {},
                "flags": [],
                "provenance": {},
                "created_at": at,
            }
            for run_id, _, item, _ in evaluations
        ],
    )


def _insert_tasks(session: Session, rows: list[dict[str, Any]]) -> dict[int, list[int]]:
    """Insert tasks of runs; return the ids by run, ascending. In the order of the rows, as `insert_rows` returns ids,
    it would be a statement per row on SQLite."""
    columns = cast(Table, TaskRow.__table__)
    ids: dict[int, list[int]] = {}
    for run_id, task_id in sorted(session.execute(insert(columns).returning(columns.c.run_id, columns.c.id), rows)):
        ids.setdefault(run_id, []).append(task_id)
    return ids


def insert_rows(session: Session, table: type[Base], rows: list[dict[str, Any]]) -> list[int]:
    """Insert rows in one statement; return their ids in the same order."""
    if not rows:
        return []
    columns = cast(Table, table.__table__)  # half the time of the mapped class
    return list(session.scalars(insert(columns).returning(columns.c.id, sort_by_parameter_order=True), rows))


def get(session: Session, run_id: int) -> contracts.Run | None:
    return many(session, [run_id]).get(run_id)


def exists(session: Session, run_id: int) -> bool:
    return session.scalar(_EXISTS, {"run_id": run_id}) is not None


def existing(session: Session, run_ids: Sequence[int]) -> set[int]:
    """Return those of the ids that runs have."""
    known = select(RunRow.id).where(in_id_array(RunRow.id, id_array("run_ids")), PRESENT)
    return set(session.scalars(known, {"run_ids": list(run_ids)}))


_EXISTS = select(RunRow.id).where(RunRow.id == bindparam("run_id"), PRESENT)


def many(session: Session, run_ids: Sequence[int]) -> dict[int, contracts.Run]:
    """Return the runs that exist by id, in the order of the ids."""
    requested: dict[int, list[contracts.EvaluationSpec]] = {}
    counts: dict[int, Counter[str]] = {}
    # Before the runs: on PostgreSQL an evaluation may end between two statements, and a count has to have its results
    for item in session.execute(_evaluations(run_ids)):
        spec = contracts.EvaluationSpec.model_construct(
            key=item.key, params=item.params, name=item.name, split=item.split
        )
        requested.setdefault(item.run_id, []).append(spec)
        counts.setdefault(item.run_id, Counter())[item.status] += 1
    rows = session.execute(_select().where(RunRow.id.in_(run_ids))).all()
    positions = outbox.queue_positions(session, [task.id for _, task in rows if task.status == Status.QUEUED])
    lineages = lineage.of_runs(session, {run.id: run.init_from_run for run, _ in rows})
    found = {
        run.id: _answer(
            run,
            task,
            positions.get(task.id),
            lineages.get(run.id, contracts.Lineage()),
            requested.get(run.id, []),
            counts.get(run.id, Counter()),
        )
        for run, task in rows
    }
    return {run_id: found[run_id] for run_id in run_ids if run_id in found}


def is_measured(status: str, evaluation_counts: Mapping[str, int]) -> bool:
    """Return whether a run is trained and every evaluation has ended.

    Args:
        status: of the training.
        evaluation_counts: number of evaluations by status.
    """
    return status == Status.SUCCEEDED and all(Status(name).final for name in evaluation_counts)


def _evaluations(run_ids: Sequence[int]) -> Select:
    """Return a statement for run_id, name, key, split, params and status of the runs' evaluations, in the order of the
    requests."""
    row = EvaluationRow
    return (
        select(row.run_id, row.name, row.key, row.split, row.params, TaskRow.status)
        .join(TaskRow, EvaluationRow.task_id == TaskRow.id)
        .where(EvaluationRow.run_id.in_(run_ids))
        .order_by(EvaluationRow.id)
    )


def patch(session: Session, run_id: int, changes: dict[str, Any]) -> bool:
    if not lock(session, run_id):
        return False
    row = session.get_one(RunRow, run_id)
    for field, value in changes.items():
        setattr(row, field, value)
    if not run_search.SEARCHED.isdisjoint(changes):
        store_searched(session, row)
    return True


def shortened_name(name: str) -> str | None:
    """Return what fits into the name of a run, of a name that it shares with its experiment."""
    return name.strip()[:MAX_RUN_NAME].strip() or None


def store_searched(session: Session, row: RunRow) -> None:
    """Store the tags and texts of a new or changed run, by which it is found."""
    run_search.replace(session, {column.key: getattr(row, column.key) for column in _SEARCHED_COLUMNS})


_SEARCHED_COLUMNS = (
    RunRow.id,
    RunRow.name,
    RunRow.notes,
    RunRow.tags,
    RunRow.dataset,
    RunRow.model,
    RunRow.regularizer,
)


def lock(session: Session, run_id: int) -> bool:
    """Lock the run until the end of a write transaction, so that a deletion and new work exclude each other; return
    whether it exists.

    Workers lock their task first and then the run: with a run locked, never wait for the lock of a running task.
    """
    row = session.get(RunRow, run_id, with_for_update=_NO_KEY_UPDATE, populate_existing=True)
    return row is not None and not row.deleting


def train_task(session: Session, run_id: int) -> int | None:
    """Return the id of the task that makes the run."""
    return session.scalar(select(TaskRow.id).where(TaskRow.run_id == run_id, TaskRow.kind.in_(RUN_TASKS)))


# ---- what the worker writes; call tasks.fence first ------------------------------------------------------------


def set_started(session: Session, run_id: int, *, device: str, data_hash: str, provenance: dict[str, Any]) -> None:
    """Record the device and the data of the training. `provenance` is added to the launch's."""
    row = session.get_one(RunRow, run_id)
    row.device, row.data_hash = device, data_hash
    row.provenance = {**row.provenance, **provenance, "data_hash": data_hash}


def set_parameter_names(session: Session, run_id: int, names: list[str]) -> None:
    """Record the names of the parameters of the run's network."""
    session.get_one(RunRow, run_id).parameter_names = names


def parameter_names(session: Session, run_id: int) -> list[str] | None:
    """Return the names of the parameters of the run's network; None if they are not known."""
    return session.scalar(select(RunRow.parameter_names).where(RunRow.id == run_id))


def add_flags(session: Session, run_id: int, flags: list[contracts.Flag]) -> None:
    """Add flags; one of a key that the run has already replaces it."""
    row = session.get_one(RunRow, run_id)
    added = {flag.key: flag.model_dump() for flag in flags}
    row.flags = [flag for flag in row.flags if flag["key"] not in added] + list(added.values())


def set_metrics(session: Session, run_id: int, latest: dict[str, float]) -> None:
    """Store the latest value of each curve."""
    row = session.get_one(RunRow, run_id)
    row.metrics = {**row.metrics, **latest}
    session.execute(delete(LatestRow).where(LatestRow.run_id == run_id, LatestRow.name.in_(latest)))
    numbers = [
        {"run_id": run_id, "name": name, "value": value} for name, value in latest.items() if math.isfinite(value)
    ]
    if numbers:
        session.execute(insert(cast(Table, LatestRow.__table__)), numbers)


def set_results(
    session: Session,
    run_id: int,
    evaluation: str,
    values: dict[str, contracts.Value],
    conditions: Mapping[str, Any] | None = None,
) -> None:
    """Replace an evaluation's values in the run's flat results, and the conditions of the evaluation in its provenance:
    `evaluated`, by name."""
    row = session.get_one(RunRow, run_id, with_for_update=_NO_KEY_UPDATE)
    if conditions:
        row.provenance = {
            **row.provenance,
            "evaluated": {**row.provenance.get("evaluated", {}), evaluation: dict(conditions)},
        }
    kept = {name: value for name, value in row.results.items() if name.split(".")[0] != evaluation}
    row.results = {**kept, **{f"{evaluation}.{name}": value.model_dump() for name, value in values.items()}}
    session.execute(
        delete(ResultRow).where(
            ResultRow.run_id == run_id, ResultRow.name.startswith(f"{evaluation}.", autoescape=True)
        )
    )
    numbers = [
        {"run_id": run_id, "name": f"{evaluation}.{name}", "value": value.value}
        for name, value in values.items()
        if value.value is not None
    ]
    if numbers:
        session.execute(insert(cast(Table, ResultRow.__table__)), numbers)


# ---- deletion -------------------------------------------------------------------------------------------------


def mark_deleting(session: Session, run_id: int) -> None:
    """Hide the run from every reader; its files and rows are removed next."""
    row = session.get(RunRow, run_id)
    if row is not None:
        row.deleting = True


def deleting(session: Session) -> list[int]:
    """Return the runs whose deletion has begun."""
    return list(session.scalars(select(RunRow.id).where(RunRow.deleting.is_(True))))


def remove(session: Session, run_id: int) -> None:
    """Delete the run's row with its dependent rows."""
    ended_runs.keep(session, EventRow.run_id == run_id)
    session.execute(delete(RunRow).where(RunRow.id == run_id))


# ---- reading --------------------------------------------------------------------------------------------------


def _select() -> Select:
    return (
        select(RunRow, TaskRow)
        .join(TaskRow, and_(TaskRow.run_id == RunRow.id, TaskRow.kind.in_(RUN_TASKS)))
        .where(PRESENT)
    )


def _answer(
    row: RunRow,
    task: TaskRow,
    position: int | None,
    lineage_: contracts.Lineage,
    evaluations: list[contracts.EvaluationSpec],
    counts: Mapping[str, int],
) -> contracts.Run:
    return contracts.Run.model_construct(
        id=row.id,
        experiment=row.experiment_id,
        name=row.name,
        spec=stored_spec(row.spec),
        origin=Origin(row.origin),
        source=None if row.source is None else contracts.RunSource(**row.source),
        lambda_=row.lambda_,
        lineage=lineage_,
        evaluations=evaluations,
        evaluation_counts={Status(name): number for name, number in counts.items()},
        measured=is_measured(task.status, counts),
        status=Status(task.status),
        stage=tasks.stage_of(task),
        priority=tasks.priority_of(task.priority),
        queue_position=position,
        attempt=task.attempt,
        progress=task.progress,
        eta_seconds=task.eta_seconds,
        metrics=row.metrics,
        results=_values(row.results),
        flags=[contracts.Flag(**flag) for flag in row.flags],
        error=task.error,
        device=row.device,
        checkpoint_step=row.checkpoint_step,
        task=task.id,
        notes=row.notes,
        tags=row.tags,
        archived=row.archived,
        owner=row.owner,
        created_at=to_datetime(row.created_at),
        started_at=to_datetime(task.started_at),
        finished_at=to_datetime(task.finished_at),
        provenance=row.provenance,
    )


# Behaviour of older runs, which their specs do not state; other later parts have defaults
_LATER_COMPONENTS = {
    "lr_schedule": {"key": "constant", "params": {"warm_up": 0.0}},
    "augmentation": {"key": "none", "params": {}},
    "algorithm": {"key": "erm", "params": {}},
}


def stored_spec(stored: dict[str, Any]) -> contracts.RunSpec:
    """Return a stored spec as it is: it was validated at its launch, and newer rules do not apply."""
    known = {name: stored[name] for name in contracts.RunSpec.model_fields if name in stored}
    known = copy.deepcopy(_LATER_COMPONENTS) | known
    for kind in specs.COMPONENTS:
        known[kind] = contracts.Component.model_construct(**known[kind])
    if known.get("early_stop"):
        known["early_stop"] = contracts.EarlyStop.model_construct(**known["early_stop"])
    if known.get("interface"):
        known["interface"] = contracts.ModelInterface.model_construct(**known["interface"])
    if known.get("init_from"):
        known["init_from"] = contracts.InitFrom.model_construct(**known["init_from"])
    known["evaluations"] = [contracts.EvaluationSpec.model_construct(**item) for item in known["evaluations"]]
    return contracts.RunSpec.model_construct(**known)


def _values(stored: dict[str, Any]) -> dict[str, contracts.Value]:
    return {name: contracts.Value.model_construct(**value) for name, value in stored.items()}
