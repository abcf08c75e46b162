"""Imports of models: their uploads, and the run that an import makes at its end."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from densitylab.backend.shared import contracts, specs
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.contracts import Origin, Status, TaskKind
from densitylab.backend.shared.store import experiments, logged_runs, logs, metrics, run_artifacts, runs, tasks
from densitylab.backend.shared.store.tasks import Claim
from densitylab.backend.shared.tables import ExperimentRow, TaskRow

_KINDS = (TaskKind.INSPECT, TaskKind.IMPORT)


class NoPlace(Exception):
    """Raised if the run or experiment of an import was deleted, or the run got other weights meanwhile."""


def uploads(session: Session) -> set[str]:
    """Return the locations of the uploaded files that are still needed: of queued and running work, and of successful
    inspections, until their tasks are pruned."""
    needed = or_(
        TaskRow.status.in_(tasks.ACTIVE), (TaskRow.kind == TaskKind.INSPECT) & (TaskRow.status == Status.SUCCEEDED)
    )
    payloads = session.scalars(select(TaskRow.payload).where(TaskRow.kind.in_(_KINDS), needed))
    return {payload["upload"] for payload in payloads if payload["upload"]}


def inspection(session: Session, task_id: int) -> tuple[contracts.Inspection, str] | None:
    """Return what a successful inspection found, and the location of its file."""
    row = session.get(TaskRow, task_id)
    if row is None or row.kind != TaskKind.INSPECT or row.status != Status.SUCCEEDED:
        return None
    return contracts.Inspection(**row.payload["found"]), row.payload["upload"]


def misfits(session: Session, task_id: int) -> contracts.Misfits | None:
    """Return the weights that made an import fail, none if another reason did; None if it is no import."""
    row = session.get(TaskRow, task_id)
    if row is None or row.kind != TaskKind.IMPORT:
        return None
    return contracts.Misfits.model_validate(row.payload.get("misfits", {}))


def keep_misfits(session: Session, task_id: int, found: contracts.Misfits) -> None:
    """Store the weights that make an import fail with its task; call tasks.fence first."""
    row = session.get_one(TaskRow, task_id)
    row.payload = {**row.payload, "misfits": found.model_dump(mode="json")}


def keep_inspection(session: Session, task_id: int, found: contracts.Inspection) -> None:
    """Store what an inspection found with its task; call tasks.fence first."""
    row = session.get_one(TaskRow, task_id)
    row.payload = {**row.payload, "found": found.model_dump(mode="json")}


def add_run(
    session: Session,
    claim: Claim,
    *,
    spec: contracts.RunSpec,
    lambda_: float | None,
    source: contracts.RunSource,
    flags: Sequence[contracts.Flag],
    device: str,
    data_hash: str,
    provenance: dict[str, Any],
    lines: list[tuple[float, str, str]],
    move: Callable[[str], None],
    staged: str,
    size: int,
    parameter_names: list[str],
) -> int:
    """Insert the run of an import with its weights and evaluations, all or nothing; its own task is the import's. Call
    tasks.fence first, and finish the task next. A logged run that the request names gets them instead. Return the run's
    id.

    Args:
        claim: on the import.
        spec: complete, with the interface that was found.
        lambda_: of its training; None: not known.
        source: file of the weights.
        flags: warnings.
        device: on which it was checked.
        data_hash: of its data set.
        provenance: of the import.
        lines: of the run's log, as (time, level, text).
        move: gives the stored file its location among those of the run.
        staged: location of the stored file before.
        size: of it in bytes.
        parameter_names: of the network.

    Raises:
        NoPlace: the experiment or the logged run that the request names was deleted, or that run has got other weights.
    """
    task = session.get_one(TaskRow, claim.task_id)
    run_id = claim.payload["request"].get("run")
    after: int | None = task.id
    if run_id is None:
        run_id = task.run_id = _insert(session, task, claim.payload, spec, lambda_, source, flags, provenance)
        runs.set_started(session, run_id, device=device, data_hash=data_hash, provenance=provenance)
    else:
        training = logged_runs.describe_weights(
            session, run_id, spec, lambda_, source, flags, data_hash=data_hash, read_with=provenance
        )
        if training is None:
            raise NoPlace(f"Run {run_id} was deleted, or has got other weights meanwhile.")
        after = None if Status(training.status).final else training.id
    runs.queue_evaluations(session, [(run_id, after, item, None) for item in spec.evaluations])
    location = f"runs/{run_id}/checkpoints/{staged.rpartition('/')[2]}"
    step = metrics.last_step(session, run_id)
    run_artifacts.move_checkpoint(session, run_id, location=location, size=size, step=step, final=True)
    runs.set_parameter_names(session, run_id, parameter_names)
    logs.append(session, run_id, lines)
    move(location)
    return run_id


def _insert(
    session: Session,
    task: TaskRow,
    payload: dict[str, Any],
    spec: contracts.RunSpec,
    lambda_: float | None,
    source: contracts.RunSource,
    flags: Sequence[contracts.Flag],
    provenance: dict[str, Any],
) -> int:
    """Insert a run, and its experiment unless the request names one; return the run's id. Raises NoPlace."""
    experiment_id = payload["experiment"]
    if experiment_id is not None and not experiments.lock(session, experiment_id):
        raise NoPlace(f"Experiment {experiment_id} was deleted meanwhile: import the model into another one.")
    if experiment_id is None:
        row = ExperimentRow(
            name=payload["name"],
            notes="",
            tags=payload["request"]["tags"],
            request=payload["posted"],
            owner=task.owner,
            owner_token=task.owner_token,
            created_at=task.created_at,
        )
        session.add(row)
        session.flush()
        experiment_id = row.id
    (run_id,) = runs.insert_runs(
        session,
        experiment_id,
        [specs.Planned(spec, flags=list(flags))],
        provenance,
        Caller(task.owner or "", task.owner_token),
        origin=Origin.IMPORTED,
        source=source.model_dump(),
        lambda_=lambda_,
        name=runs.shortened_name(payload["request"].get("name") or ""),
        notes=payload["request"]["notes"],
        tags=payload["request"]["tags"],
    )
    return run_id
