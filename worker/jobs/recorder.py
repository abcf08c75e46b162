"""Metric points and log lines of training runs, written in batches."""

import math
import time
from collections.abc import Callable, Sequence

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from densitylab.backend.shared.disk_full import DatabaseFull
from densitylab.backend.shared.store import logs, metrics, runs
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.step_pace import StepPace
from densitylab.worker.runtime.lease import Lease
from densitylab.worker.runtime.room import wait_for_room
from densitylab.worker.training.loop import StepReport

FLUSH_SECONDS = 0.5


class Recorder:
    """Collects points and writes them at most twice a second; the first point at once, for quick feedback."""

    def __init__(self, context: Context, lease: Lease, run_id: int, *, seconds: float) -> None:
        """
        Args:
            context: of the job.
            lease: of the task.
            run_id: of the run.
            seconds: of training before this attempt.
        """
        self._context = context
        self._lease = lease
        self._run_id = run_id
        self._points: list[metrics.Point] = []
        self._latest: dict[str, float] = {}
        self._lines: list[tuple[float, str, str]] = []
        self._began = time.monotonic()
        self._pace = StepPace()
        self._seconds_before = seconds
        self._flush_at = 0.0
        self._doubtful = False

    @property
    def seconds(self) -> float:
        """Seconds of training so far, without pauses."""
        return self._seconds_before + time.monotonic() - self._began

    def log(self, text: str, level: str = "info") -> None:
        """Add a line to the run's log."""
        self._lines.append((time.time(), level, text))

    def add(self, report: StepReport) -> None:
        """Add the metrics of a step."""
        seconds = self.seconds
        # a norm may overflow while the loss is finite: such a value gets no point, and JSON has none for it
        values = {name: value for name, value in report.values.items() if math.isfinite(value)}
        self._points += [
            metrics.Point(name=name, step=report.step, epoch=report.epoch, value=value, seconds=seconds)
            for name, value in values.items()
        ]
        self._latest |= values
        self._lease.report(
            stage=f"epoch {int(report.epoch) + 1 if report.epoch % 1 else int(report.epoch)}",
            progress=report.step / report.total_steps,
            eta_seconds=self._pace.seconds_left(report.step, report.total_steps),
        )

    def due(self) -> bool:
        """Return whether it is time to write."""
        return time.monotonic() >= self._flush_at and bool(self._points)

    def flush(
        self, also: Callable[[Session], None] | None = None, *, together: "Sequence[Recorder] | None" = None
    ) -> None:
        """Write all points and lines, heartbeat and progress, and what `also` adds, in one transaction; those of all
        recorders in `together` instead, if they are given.

        Without `also`: if the database does not answer, the points are kept for the next time; while its disk is full,
        the training waits.

        Raises:
            LeaseLost: another worker has the task, or one of the tasks; nothing is written.
            Interrupted: the task was asked to stop while the training waited.
            OperationalError: the database refused a transaction with `also`.
        """
        recorders = [self] if together is None else together
        while (full := self._write(recorders, also)) is not None:
            wait_for_room(self._lease, full)
        for recorder in recorders:
            recorder._flush_at = time.monotonic() + FLUSH_SECONDS

    def _write(self, recorders: "Sequence[Recorder]", also: Callable[[Session], None] | None) -> DatabaseFull | None:
        """Attempt it once; return the error if the disk of the database is full, and there is no `also`."""
        try:
            with self._context.database.write() as session:
                for recorder in sorted(recorders, key=lambda each: each._lease.task.task_id):  # as tasks are locked
                    recorder._lease.fence(session)
                for recorder in recorders:
                    recorder._write_to(session)
                if also is not None:
                    also(session)
        except OperationalError as error:
            for recorder in recorders:
                recorder._doubtful = True
            if also is not None:
                raise
            return error if isinstance(error, DatabaseFull) else None
        for recorder in recorders:
            recorder._points, recorder._lines, recorder._latest, recorder._doubtful = [], [], {}, False
        return None

    def _write_to(self, session: Session) -> None:
        if self._doubtful and self._points:
            # the failed transaction may have been committed
            metrics.truncate(session, self._run_id, self._points[0].step - 1)
        metrics.append(session, self._run_id, self._points)
        logs.append(session, self._run_id, self._lines)
        if self._latest:
            runs.set_metrics(session, self._run_id, self._latest)
        self._lease.renew(session)
