"""Throughput of trained runs."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from densitylab.backend.shared.contracts import RunSpec, Status, TaskKind
from densitylab.backend.shared.database import now
from densitylab.backend.shared.specs import dataset_hash
from densitylab.backend.shared.store import runs
from densitylab.backend.shared.store.similar_runs import newest_started
from densitylab.backend.shared.tables import LatestRow, RunRow, TaskRow

_RECENT = 100  # newest started runs with these keys that are read
LATELY_SECONDS = 3600  # a run that ended no longer ago was as fast as one is now


@dataclass(frozen=True)
class TrainedRun:
    """A finished run and its images per second."""

    spec: RunSpec
    rate: float


def trained_lately(session: Session, spec: RunSpec) -> list[TrainedRun]:
    """Return runs on the CPU with the keys of the spec's data set and model that ended within the last hour."""
    statement = (
        select(RunRow.spec, LatestRow.value)
        .join(TaskRow, (TaskRow.run_id == RunRow.id) & (TaskRow.kind == TaskKind.TRAIN))
        .join(LatestRow, (LatestRow.run_id == RunRow.id) & (LatestRow.name == "throughput"))
        .where(
            RunRow.id.in_(newest_started(spec, _RECENT)),
            RunRow.device.startswith("cpu"),
            TaskRow.status == Status.SUCCEEDED,
            TaskRow.finished_at > now(session) - LATELY_SECONDS,
            LatestRow.value > 0,
        )
    )
    return [TrainedRun(runs.stored_spec(spec), rate) for spec, rate in session.execute(statement)]


def similar_run_throughput(session: Session, spec: RunSpec, threads: int | None = None) -> list[tuple[int, float]]:
    """Return batch size and images per second of recent finished runs with the same data set, model and regularizer,
    parameters included, on the requested device, in the same precision, and with λ = 0 only if the spec has λ = 0.

    A batch is at most the number of training samples. Runs on the CPU count only with as many threads; None: with any.
    Runs that ended within the last hour stand for all of their batch size, since a machine is slower while others use
    it.
    """
    # The ids first: starting from the tasks would read the specs of all runs that ever succeeded
    newest = newest_started(spec, _RECENT, RunRow.regularizer == spec.regularizer.key)
    statement = (
        select(RunRow.spec, RunRow.device, RunRow.provenance, LatestRow.value, TaskRow.finished_at)
        .join(TaskRow, (TaskRow.run_id == RunRow.id) & (TaskRow.kind == TaskKind.TRAIN))
        .join(LatestRow, (LatestRow.run_id == RunRow.id) & (LatestRow.name == "throughput"))
        .where(TaskRow.status == Status.SUCCEEDED, LatestRow.value > 0, RunRow.id.in_(newest))
        .order_by(RunRow.id.desc())
    )
    parts = {kind: getattr(spec, kind).model_dump() for kind in ("model", "regularizer")}
    alike = [
        (min(stored["batch_size"], stored["train_samples"] or stored["batch_size"]), rate, finished_at or 0.0)
        for stored, device, provenance, rate, finished_at in session.execute(statement)
        if all(stored[kind] == part for kind, part in parts.items())
        and dataset_hash(stored["dataset"]["params"]) == dataset_hash(spec.dataset.params)
        and (stored["lambda_"] == 0) == (spec.lambda_ == 0)
        and (stored["precision"], stored.get("compile", False)) == (spec.precision, spec.compile)
        and (threads is None or not (device or "").startswith("cpu") or provenance.get("threads", threads) == threads)
    ]
    since = now(session) - LATELY_SECONDS
    lately = {batch for batch, _, finished_at in alike if finished_at > since}
    return [(batch, rate) for batch, rate, finished_at in alike if batch not in lately or finished_at > since]


def last_device(session: Session) -> str | None:
    """Return the device of the newest run."""
    return session.scalar(select(RunRow.device).where(RunRow.device.is_not(None)).order_by(RunRow.id.desc()).limit(1))
