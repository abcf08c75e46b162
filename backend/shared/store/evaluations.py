"""Evaluations of runs, each with its own task."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from densitylab.backend.shared import contracts
from densitylab.backend.shared.catalog import Catalog, EvaluationEntry, UnknownKey
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.database import now
from densitylab.backend.shared.store import runs, tasks
from densitylab.backend.shared.store.times import to_datetime
from densitylab.backend.shared.tables import EvaluationRow, TaskRow


def create(session: Session, run_id: int, spec: contracts.EvaluationSpec) -> int:
    """Queue an evaluation of a run, after its training if that has not ended; return the evaluation's id."""
    train = runs.train_task(session, run_id)
    training = train is not None and not Status(session.get_one(TaskRow, train).status).final
    task = tasks.create(session, TaskKind.EVALUATE, run_id=run_id, after_task=train if training else None)
    row = EvaluationRow(
        run_id=run_id,
        task_id=task.id,
        name=spec.name or spec.default_name,
        key=spec.key,
        split=spec.split,
        params=spec.params,
        values={},
        curves={},
        flags=[],
        provenance={},
        created_at=now(session),
    )
    session.add(row)
    session.flush()
    return row.id


def of_run(session: Session, run_id: int) -> list[contracts.Evaluation]:
    rows = session.execute(
        select(EvaluationRow, TaskRow)
        .join(TaskRow, EvaluationRow.task_id == TaskRow.id)
        .where(EvaluationRow.run_id == run_id)
        .order_by(EvaluationRow.id)
    )
    return [_answer(row, task) for row, task in rows]


def named(session: Session, run_id: int, name: str) -> contracts.Evaluation | None:
    """Return the run's evaluation of that name."""
    result = session.execute(
        select(EvaluationRow, TaskRow)
        .join(TaskRow, EvaluationRow.task_id == TaskRow.id)
        .where(EvaluationRow.run_id == run_id, EvaluationRow.name == name)
    ).first()
    return None if result is None else _answer(result[0], result[1])


def alike(session: Session, run_id: int, spec: contracts.EvaluationSpec) -> contracts.Evaluation | None:
    """Return the run's newest evaluation with that key, split and parameters, whatever its name."""
    return next((item for item in reversed(of_run(session, run_id)) if same_settings(item, spec)), None)


def same_settings(
    first: contracts.Evaluation | contracts.EvaluationSpec, second: contracts.Evaluation | contracts.EvaluationSpec
) -> bool:
    """Return whether both have the same key, split and parameters."""
    return (first.key, first.split, first.params) == (second.key, second.split, second.params)


def is_current(catalog: Catalog, evaluation: contracts.Evaluation, checkpoint_step: int | None) -> bool:
    """Return whether the result is of the run's present checkpoint and the evaluation's present version."""
    try:
        version = catalog.find(EvaluationEntry, evaluation.key).version
    except UnknownKey:
        return False
    provenance = evaluation.provenance
    return (
        evaluation.status is Status.SUCCEEDED
        and provenance.get("checkpoint_step") == checkpoint_step
        and provenance.get("measure_version", 1) == version
    )


def of_task(session: Session, task_id: int) -> contracts.Evaluation | None:
    result = session.execute(
        select(EvaluationRow, TaskRow)
        .join(TaskRow, EvaluationRow.task_id == TaskRow.id)
        .where(EvaluationRow.task_id == task_id)
    ).first()
    return None if result is None else _answer(result[0], result[1])


def store(
    session: Session,
    evaluation_id: int,
    *,
    values: dict[str, contracts.Value],
    curves: dict[str, contracts.Curve],
    flags: list[contracts.Flag],
    seconds: float,
    provenance: dict[str, Any],
) -> None:
    """Store the result, and add it to the run's flat results; call tasks.fence first."""
    row = session.get_one(EvaluationRow, evaluation_id)
    row.values = {name: value.model_dump() for name, value in values.items()}
    row.curves = {name: curve.model_dump() for name, curve in curves.items()}
    row.flags = [flag.model_dump() for flag in flags]
    row.seconds, row.provenance = seconds, provenance
    named = {"version": provenance.get("measure_version"), "device": provenance.get("device")}
    conditions = {name: value for name, value in named.items() if value is not None}
    runs.set_results(session, row.run_id, row.name, values, conditions)


def _answer(row: EvaluationRow, task: TaskRow) -> contracts.Evaluation:
    return contracts.Evaluation(
        id=row.id,
        run=row.run_id,
        name=row.name,
        key=row.key,
        split=row.split,
        params=row.params,
        status=Status(task.status),
        progress=task.progress,
        error=task.error,
        values=row.values,
        curves=row.curves,
        flags=row.flags,
        seconds=row.seconds,
        task=task.id,
        created_at=to_datetime(row.created_at),
        provenance=row.provenance,
    )
