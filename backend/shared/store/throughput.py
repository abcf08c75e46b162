"""How fast runs have trained."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.shared.contracts import RunSpec, Status, TaskKind
from backend.shared.tables import LatestRow, RunRow, TaskRow

_LOOKED_AT = 100  # of the newest runs of these keys that have started


def of_like_runs(session: Session, spec: RunSpec) -> list[float]:
    """Images a second of the newest finished runs with the same data set, model and regularizer, parameters included,
    on the device asked for, in the same precision, and of the same kind of λ: where it is 0 the penalty is spared."""
    started = select(RunRow.id).where(
        RunRow.device.is_not(None), RunRow.deleting.is_(False), RunRow.dataset == spec.dataset.key,
        RunRow.model == spec.model.key, RunRow.regularizer == spec.regularizer.key,
    )
    if spec.device != "auto":
        started = started.where(RunRow.device.startswith(spec.device, autoescape=True))
    # The ids first: a database that began with the tasks would read the specs of all that ever succeeded
    newest = started.order_by(RunRow.id.desc()).limit(_LOOKED_AT)
    statement = (
        select(RunRow.spec, LatestRow.value)
        .join(TaskRow, (TaskRow.run_id == RunRow.id) & (TaskRow.kind == TaskKind.TRAIN))
        .join(LatestRow, (LatestRow.run_id == RunRow.id) & (LatestRow.name == "throughput"))
        .where(TaskRow.status == Status.SUCCEEDED, LatestRow.value > 0, RunRow.id.in_(newest))
        .order_by(RunRow.id.desc())
    )
    parts = {kind: getattr(spec, kind).model_dump() for kind in ("dataset", "model", "regularizer")}
    return [
        rate for stored, rate in session.execute(statement)
        if all(stored[kind] == part for kind, part in parts.items())
        and (stored["lambda_"] == 0) == (spec.lambda_ == 0)
        and (stored["precision"], stored.get("compile", False)) == (spec.precision, spec.compile)
    ]


def last_device(session: Session) -> str | None:
    """Where the newest run was trained."""
    return session.scalar(
        select(RunRow.device).where(RunRow.device.is_not(None)).order_by(RunRow.id.desc()).limit(1)
    )
