"""Runs that are trained elsewhere: make one, store its points, end it."""

import math
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from densitylab.backend.services.ownership import require_owner
from densitylab.backend.services.runs import not_found
from densitylab.backend.shared import specs
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import (
    MAX_CURVES_PER_RUN,
    UNKNOWN_MODEL,
    Component,
    FieldError,
    FinishRequest,
    Flag,
    LoggedPoint,
    LogRequest,
    PointsReceived,
    PointsRequest,
    RunSpec,
    Status,
)
from densitylab.backend.shared.database import Database, now
from densitylab.backend.shared.errors import Conflict, InvalidField, InvalidRequest, NotFound
from densitylab.backend.shared.store import experiments, logged_runs, logs, metrics, owners, runs, tasks
from densitylab.backend.shared.tables import RunRow, TaskRow

_NOT_FINITE = "logged_not_finite"  # key of a flag


def create(
    session: Session,
    catalog: Catalog,
    request: LogRequest,
    provenance: Mapping[str, Any],
    silence_seconds: float,
    owner: Caller,
) -> int:
    """Insert a run that waits for points; return its id.

    Raises:
        InvalidRequest: a component is not of the catalog, or a parameter is wrong.
        NotFound: there is no such experiment.
        NotOwner: it belongs to somebody else.
    """
    spec = _spec(catalog, request)
    if request.experiment is None:
        posted = request.model_dump(mode="json", exclude_unset=True)
        experiment = experiments.create(
            session,
            name=request.name,
            notes="",
            tags=[],
            request=posted,
            planned=[],
            provenance={},
            owner=owner,
        ).id
    elif experiments.lock(session, request.experiment):
        experiment = request.experiment
        require_owner(owner, owners.of_experiment(session, experiment), f"experiment {experiment}")
    else:
        raise NotFound("experiment", request.experiment, "/experiment")
    return logged_runs.create(
        session,
        experiment,
        spec,
        lambda_=request.lambda_,
        totals={"epochs": request.epochs, "steps": request.steps},
        name=runs.shortened_name(request.name) if "name" in request.model_fields_set else None,
        notes=request.notes or request.name,
        tags=request.tags,
        provenance={**provenance, "params": request.params},
        silence_seconds=silence_seconds,
        owner=owner,
    )


def _spec(catalog: Catalog, request: LogRequest) -> RunSpec:
    """Return what the request says of the training; of other parts the spec of such a run says nothing."""
    named = {
        "dataset": request.dataset,
        "model": request.model,
        "regularizer": request.regularizer or Component(key="none"),
    }
    errors: list[FieldError] = []
    parts = {"model": Component(key=UNKNOWN_MODEL), "augmentation": Component(key="none")}
    for kind, part in named.items():
        if part is not None:
            _, params = specs.complete_params(catalog, kind, part.key, part.params, f"/{kind}", errors)
            parts[kind] = Component(key=part.key, params=params)
    if errors:
        raise InvalidRequest(errors)
    return RunSpec(**parts, lambda_=request.lambda_ or 0.0, epochs=request.epochs or 1, evaluations=[])  # type: ignore[arg-type]


def record(database: Database, run_id: int, request: PointsRequest, silence_seconds: float) -> PointsReceived:
    """Store points, and with them progress and time left.

    Raises:
        NotFound: there is no such run.
        Conflict: it is trained by a worker, or has ended.
        InvalidField: it would have too many curves.
    """
    with database.write() as session:
        task = _running(session, run_id)
        at = now(session)
        elapsed = at - (task.started_at or at)
        row = session.get_one(RunRow, run_id)
        points, lost = _points(request.points, elapsed)
        names = {point.name for point in points}
        if len(row.metrics.keys() | names) > MAX_CURVES_PER_RUN:
            raise InvalidField(
                f"expected at most {MAX_CURVES_PER_RUN} names of curves in a run; a value over steps has one name",
                "/points",
            )
        metrics.put(session, run_id, points)
        if names:
            runs.set_metrics(session, run_id, metrics.latest(session, run_id, sorted(names)))
        if lost:
            _note_lost(session, row, lost)
        task.lease_until = at + silence_seconds
        _report(task, request.points, elapsed)
        return PointsReceived(
            points=len(points), status=Status(task.status), cancel_requested=task.cancel_requested_at is not None
        )


def finish(session: Session, run_id: int, request: FinishRequest) -> None:
    """End a run; the same end again changes nothing.

    Raises:
        NotFound: there is no such run.
        Conflict: it is trained by a worker, or has ended in another way.
        InvalidField: a reason without a failure.
    """
    if request.error is not None and request.status != Status.FAILED:
        raise InvalidField(f"expected null, since the status is {request.status}", "/error")
    task = _logged(session, run_id)
    if task.status == request.status:
        return
    task = _running(session, run_id)
    error = request.error or ("no reason was given" if request.status == Status.FAILED else None)
    logged_runs.end(session, task, Status(request.status), error)


def _logged(session: Session, run_id: int) -> TaskRow:
    """Return the locked task of a logged run. Raises NotFound, Conflict."""
    task = logged_runs.task_of(session, run_id)
    if not runs.exists(session, run_id):
        raise not_found(run_id)
    if task is None:
        raise Conflict(f"run {run_id} was not made for a training loop of your own: make one with POST /api/v1/runs")
    return task


def _running(session: Session, run_id: int) -> TaskRow:
    """Return the locked task of a logged run that has not ended; one that only was silent runs again. Raises NotFound,
    Conflict."""
    task = _logged(session, run_id)
    if task.status == Status.FAILED and task.error == logged_runs.SILENT:
        tasks.retry(session, task.id)
        task = _logged(session, run_id)
    if task.status != Status.RUNNING:
        raise Conflict(f"run {run_id} has ended ({task.status}): retry it to go on logging to it")
    return task


def _points(posted: list[LoggedPoint], elapsed: float) -> tuple[list[metrics.Point], list[LoggedPoint]]:
    """Return the points that are finite, and those that are not."""
    finite, lost = [], []
    for point in posted:
        if point.value is None or not math.isfinite(point.value):
            lost.append(point)
            continue
        finite.append(
            metrics.Point(
                name=point.name,
                step=point.step,
                epoch=point.epoch or 0.0,
                value=point.value,
                seconds=elapsed if point.seconds is None else point.seconds,
            )
        )
    return finite, lost


def _note_lost(session: Session, row: RunRow, lost: list[LoggedPoint]) -> None:
    """Flag the run at its first value that is not finite, and list each request's first in the log."""
    first = lost[0]
    where = f"{first.name} was not a finite number at step {first.step}"
    if all(flag["key"] != _NOT_FINITE for flag in row.flags):
        runs.add_flags(session, row.id, [Flag(key=_NOT_FINITE, text=f"{where}: the training may have diverged.")])
    more = f", and {len(lost) - 1} more values" if len(lost) > 1 else ""
    logs.append(session, row.id, [(time.time(), "warning", where + more)])


def _report(task: TaskRow, posted: list[LoggedPoint], elapsed: float) -> None:
    """Set progress, time left and stage by the newest point; points that come late do not set them back."""
    step = max((point.step for point in posted), default=None)
    epoch = max((point.epoch for point in posted if point.epoch is not None), default=None)
    shares = [
        done / total
        for done, total in ((step, task.payload.get("steps")), (epoch, task.payload.get("epochs")))
        if done is not None and total is not None
    ]
    if not shares and (step is None or task.progress > 0):
        return
    progress = min(max(shares, default=0.0), 1.0)
    if shares and progress < task.progress:
        return
    task.progress = progress
    task.eta_seconds = elapsed * (1 - progress) / progress if progress > 0 else None
    task.stage = f"step {step}" if epoch is None else f"epoch {math.floor(epoch) + 1 if epoch % 1 else int(epoch)}"
