"""A worker's lease of one task: renewed by a thread, checked at every write."""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from types import TracebackType

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.disk_full import DatabaseFull
from densitylab.backend.shared.store import stacks, tasks
from densitylab.backend.shared.store.tasks import LEASE_SECONDS, LeaseLost
from densitylab.worker.runtime import memory_usage, stop_signal

RENEW_SECONDS = 3.0  # from one renewal to the next
REPORT_SECONDS = 1.0  # the same with more progress; trainings write theirs more often, with their curves
LISTEN_SECONDS = 0.5  # how often the cancel flag is read

_log = logging.getLogger(__name__)


class Lease:
    """A lease of one task, renewed inside `with`.

    Every write goes through `writing`, which raises LeaseLost once another worker has the task. Create it after the
    fork, since it has a thread.
    """

    def __init__(self, database: Database, task: tasks.Claim) -> None:
        self.task = task
        self._database = database
        self._cancelled = False
        self._lost = False
        self._stage: str | None = None
        self._progress: float | None = None
        self._eta_seconds: float | None = None
        self._reported: tuple[str | None, float | None] = (None, None)
        self._renewed_at = time.monotonic()
        self._valid_until = time.monotonic() + LEASE_SECONDS
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=copy_context().run,  # for the same ids in its log lines
            args=(self._keep,),
            name="lease",
            daemon=True,
        )

    @classmethod
    def claim(cls, database: Database, task_id: int) -> "Lease | None":
        """Claim the task; None if another worker has it or it has ended, as with a job that was delivered twice."""
        with database.write() as session:
            task = tasks.claim(session, task_id, worker=_worker_name(), lease_seconds=LEASE_SECONDS)
        return None if task is None else cls(database, task)

    @classmethod
    def claim_more(cls, database: Database, task_ids: Sequence[int]) -> "list[Lease]":
        """Claim those of the tasks that can be claimed, all at once."""
        with database.write() as session:
            claims = stacks.claim(session, task_ids, worker=_worker_name(), lease_seconds=LEASE_SECONDS)
        return [cls(database, task) for task in claims]

    @property
    def run_id(self) -> int:
        """The run that the task trains or evaluates. Raises ValueError where it is of no run."""
        if self.task.run_id is None:
            raise ValueError(f"task {self.task.task_id} is of no run")
        return self.task.run_id

    def __enter__(self) -> "Lease":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def cancelled(self) -> bool:
        """True once cancelling was requested."""
        return self._cancelled

    def should_stop(self) -> bool:
        """Return whether to end now: the task is cancelled, the worker shuts down, or the lease is lost."""
        return self._cancelled or self._lost or stop_signal.requested()

    def report(
        self, *, stage: str | None = None, progress: float | None = None, eta_seconds: float | None = None
    ) -> None:
        """Note stage and progress; the next renewal writes them."""
        self._stage = stage if stage is not None else self._stage
        self._progress = progress if progress is not None else self._progress
        self._eta_seconds = eta_seconds

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a transaction under the lease. Raises LeaseLost before anything is written if the lease is lost."""
        with self._database.write() as session:
            tasks.fence(session, self.task)
            yield session

    def renew(self, session: Session) -> None:
        """Extend the lease within a transaction of `writing`, and write stage and progress."""
        cancel_requested = tasks.renew(
            session,
            self.task,
            lease_seconds=LEASE_SECONDS,
            stage=self._stage,
            progress=self._progress,
            eta_seconds=self._eta_seconds,
            clear_eta=self._eta_seconds is None,
            memory_bytes=memory_usage.process_bytes(),
            device_memory_bytes=memory_usage.device_bytes(),
        )
        self._cancelled = self._cancelled or cancel_requested
        self._reported = (self._stage, self._progress)
        self._renewed_at = time.monotonic()
        self._valid_until = time.monotonic() + LEASE_SECONDS

    def finish(self, session: Session, status: Status, error: str | None = None) -> None:
        """End the task within a transaction of `writing`."""
        # from here on the row must not be renewed; a thread in mid-renewal waits for this transaction
        self._ended.set()
        tasks.finish(session, self.task, status, error)

    def release(self) -> None:
        """Return the task to the queue, so that another worker continues it."""
        self._ended.set()
        with self._database.write() as session:
            tasks.release(session, self.task)

    def fence(self, session: Session) -> None:
        """Raise LeaseLost if the lease is lost; call it before a write in a transaction of several leases."""
        tasks.fence(session, self.task)

    def _keep(self) -> None:
        failing = False
        while not self._ended.wait(LISTEN_SECONDS):
            try:
                stage, progress = self._reported
                after = RENEW_SECONDS if progress == self._progress else REPORT_SECONDS
                if stage != self._stage or time.monotonic() >= self._renewed_at + after:
                    with self.writing() as session:
                        self.renew(session)
                else:
                    with self._database.read() as session:
                        task = tasks.get(session, self.task.task_id)
                    if task is None:
                        raise LeaseLost(f"task {self.task.task_id} was deleted")
                    self._cancelled = self._cancelled or task.cancel_requested
                failing = False
            except LeaseLost:
                if not self._ended.is_set():
                    self._lost = True
                return
            except OperationalError as error:
                if not failing:
                    _log.warning("task %d: the lease could not be renewed: %s", self.task.task_id, error.orig)
                failing = True
                # The database does not answer: the lease is valid until it expires. While its disk is full no other
                # worker can claim the task.
                if time.monotonic() > self._valid_until and not isinstance(error, DatabaseFull):
                    self._lost = True
                    return


def _worker_name() -> str:
    return os.environ.get("RQ_WORKER_ID") or f"{socket.gethostname()}-{os.getpid()}"
