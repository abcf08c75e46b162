"""Runs that are trained elsewhere: their task has no worker, and runs until the training loop says how it ended."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from densitylab.backend.shared import contracts, specs
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.contracts import SPEC_VERSION, Origin, Status, TaskKind
from densitylab.backend.shared.database import now
from densitylab.backend.shared.store import events, runs, tasks
from densitylab.backend.shared.tables import RunRow, TaskRow

SILENT = "Nothing was heard of the training loop for too long. It goes on when it is heard again."


def create(
    session: Session,
    experiment_id: int,
    spec: contracts.RunSpec,
    *,
    lambda_: float | None,
    totals: dict[str, int | None],
    name: str | None,
    notes: str,
    tags: list[str],
    provenance: dict[str, Any],
    silence_seconds: float,
    owner: Caller,
) -> int:
    """Insert a run with its task, which runs from now on; return the run's id.

    Args:
        session: a transaction that writes.
        experiment_id: its experiment, locked.
        spec: what is known of the training.
        lambda_: weight of the penalty; None: not known.
        totals: `epochs` and `steps` of the whole training; None: not known.
        name, notes, tags, provenance: of the run.
        silence_seconds: after which it fails if nothing is heard of it.
        owner: who sent it.
    """
    at = now(session)
    digest = specs.spec_hash(spec)
    row = RunRow(
        experiment_id=experiment_id,
        spec_version=SPEC_VERSION,
        spec=spec.model_dump(),
        spec_hash=digest,
        dataset=spec.dataset.key,
        model=spec.model.key,
        regularizer=spec.regularizer.key,
        lambda_=lambda_,
        origin=Origin.LOGGED,
        name=name,
        notes=notes,
        tags=tags,
        archived=False,
        deleting=False,
        metrics={},
        results={},
        flags=[],
        provenance={**provenance, "spec_hash": digest},
        owner=owner.name,
        owner_token=owner.token,
        created_at=at,
    )
    session.add(row)
    session.flush()
    runs.store_searched(session, row)
    columns = tasks.queued(TaskKind.LOG, at, run_id=row.id, payload=totals)
    columns |= {
        "status": Status.RUNNING,
        "stage": "",
        "attempt": 1,
        "started_at": at,
        "lease_until": at + silence_seconds,
    }
    task = TaskRow(**columns)
    session.add(task)
    session.flush()
    events.note(session, TaskRow.id == task.id)
    return row.id


def task_of(session: Session, run_id: int) -> TaskRow | None:
    """Return the run's task, locked; None if the run is trained by a worker, or does not exist."""
    return session.scalar(
        select(TaskRow)
        .where(TaskRow.run_id == run_id, TaskRow.kind == TaskKind.LOG)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def describe_weights(
    session: Session,
    run_id: int,
    spec: contracts.RunSpec,
    lambda_: float | None,
    source: contracts.RunSource,
    flags: Sequence[contracts.Flag],
    *,
    data_hash: str,
    read_with: dict[str, Any],
) -> TaskRow | None:
    """Record the network and the file of a run's weights, which are stored next; return its task. None if the run was
    deleted or has weights already. What the run says of its training stays as it is.

    Args:
        session: a transaction that writes.
        run_id: of the run.
        spec: with the network, its interface and the evaluations to come.
        lambda_: weight of the penalty; None: what the run says.
        source: file of the weights.
        flags: warnings.
        data_hash: of the data on which the weights are evaluated.
        read_with: host, device and packages that read the weights: `weights_read` in the run's provenance.
    """
    task = task_of(session, run_id)
    if task is None or not runs.lock(session, run_id):
        return None
    row = session.get_one(RunRow, run_id)
    if row.checkpoint_step is not None:
        return None
    new = spec.model_dump()
    row.spec = {**row.spec, **{name: new[name] for name in ("model", "interface", "evaluations")}}
    row.spec_hash = specs.spec_hash(runs.stored_spec(row.spec))
    row.data_hash = data_hash
    row.provenance = {
        **row.provenance,
        "spec_hash": row.spec_hash,
        "data_hash": data_hash,
        "weights_read": read_with,
        **{name: read_with[name] for name in ("plugins",) if name in read_with},  # of the spec's network
    }
    row.model, row.source = spec.model.key, source.model_dump()
    row.lambda_ = row.lambda_ if lambda_ is None else lambda_
    runs.store_searched(session, row)
    runs.add_flags(session, run_id, list(flags))
    return task


def end(session: Session, task: TaskRow, status: Status, error: str | None) -> None:
    """End a running task that is locked."""
    if status == Status.SUCCEEDED:
        task.progress = 1.0
    task.eta_seconds = None
    tasks.end(session, task, status, error, now(session))


def fail_silent(session: Session) -> list[int]:
    """Fail the runs of which nothing was heard for too long; return their ids."""
    at = now(session)
    silent = session.scalars(
        select(TaskRow)
        .where(TaskRow.kind == TaskKind.LOG, TaskRow.status == Status.RUNNING, TaskRow.lease_until < at)
        .order_by(TaskRow.id)
        .with_for_update()
    ).all()
    for task in silent:
        end(session, task, Status.FAILED, SILENT)
    return [task.run_id for task in silent if task.run_id is not None]
