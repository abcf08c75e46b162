"""Metric points and log lines of one training, written in batches."""

import math
import time
from collections.abc import Callable

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from backend.shared.store import logs, metrics, runs
from worker.jobs.context import Context
from worker.lease import Lease
from worker.training import StepReport

FLUSH_SECONDS = 0.5


class Recorder:
    """Collects, and writes at most twice a second; the first point at once, so that a launch is seen to live."""

    def __init__(self, context: Context, lease: Lease, run_id: int, *, step: int, seconds: float) -> None:
        """Args: step, seconds: where the training begins, and how long it had trained until then."""
        self._context = context
        self._lease = lease
        self._run_id = run_id
        self._points: list[metrics.Point] = []
        self._latest: dict[str, float] = {}
        self._lines: list[tuple[float, str, str]] = []
        self._began = time.monotonic()
        self._first_step = step
        self._seconds_before = seconds
        self._flush_at = 0.0
        self._doubtful = False

    @property
    def seconds(self) -> float:
        """Of training, pauses not counted."""
        return self._seconds_before + time.monotonic() - self._began

    def log(self, text: str, level: str = "info") -> None:
        self._lines.append((time.time(), level, text))

    def add(self, report: StepReport) -> None:
        """Takes a step's values, and writes when it is time to."""
        seconds = self.seconds
        # An overflowed norm beside a loss that is still finite: no number, so no point (and JSON has none for it)
        values = {name: value for name, value in report.values.items() if math.isfinite(value)}
        self._points += [
            metrics.Point(name=name, step=report.step, epoch=report.epoch, value=value, seconds=seconds)
            for name, value in values.items()
        ]
        self._latest |= values
        done = report.step - self._first_step
        rate = done / max(time.monotonic() - self._began, 1e-9)
        self._lease.report(
            stage=f"epoch {int(report.epoch) + 1 if report.epoch % 1 else int(report.epoch)}",
            progress=report.step / report.total_steps, eta_seconds=(report.total_steps - report.step) / rate,
        )
        if time.monotonic() >= self._flush_at and self._points:
            self.flush()

    def flush(self, also: Callable[[Session], None] | None = None) -> None:
        """Writes what has come together, with heartbeat and progress, and what `also` adds to the transaction.

        A database that does not answer costs nothing: without `also` the points are kept for the next time.

        Raises:
            LeaseLost: the task is another worker's now; nothing is written.
            OperationalError: the database refused a transaction with `also`.
        """
        try:
            with self._lease.writing() as session:
                if self._doubtful and self._points:
                    # The refused transaction may have been committed all the same
                    metrics.truncate(session, self._run_id, self._points[0].step - 1)
                metrics.append(session, self._run_id, self._points)
                logs.append(session, self._run_id, self._lines)
                if self._latest:
                    runs.set_metrics(session, self._run_id, self._latest)
                self._lease.renew(session)
                if also is not None:
                    also(session)
        except OperationalError:
            self._doubtful = True
            if also is not None:
                raise
        else:
            self._points, self._lines, self._latest, self._doubtful = [], [], {}, False
        self._flush_at = time.monotonic() + FLUSH_SECONDS
