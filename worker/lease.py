"""A worker's hold on one task: renewed by a thread, fenced at every write, given up when it is lost."""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from types import TracebackType

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from backend.shared.contracts import Status
from backend.shared.database import Database
from backend.shared.store import tasks
from backend.shared.store.tasks import LeaseLost
from worker import memory, shutdown

LEASE_SECONDS = 15.0
RENEW_SECONDS = 3.0
LISTEN_SECONDS = 0.5  # how often the cancel flag is read

_log = logging.getLogger(__name__)


class Lease:
    """Held inside `with`; every write goes through `writing`, which fails with LeaseLost once another holds the task.

    Make it after the fork: it has a thread.
    """

    def __init__(self, database: Database, held: tasks.Claim) -> None:
        self.held = held
        self._database = database
        self._cancelled = False
        self._lost = False
        self._stage: str | None = None
        self._progress: float | None = None
        self._eta_seconds: float | None = None
        self._told: tuple[str | None, float | None] = (None, None)
        self._renew_at = time.monotonic() + RENEW_SECONDS
        self._valid_until = time.monotonic() + LEASE_SECONDS
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._keep,), name="lease", daemon=True  # its lines bear the same ids
        )

    @classmethod
    def claim(cls, database: Database, task_id: int) -> "Lease | None":
        """Takes the task; None where another has it or it has ended, as with a job that was delivered twice."""
        name = os.environ.get("RQ_WORKER_ID") or f"{socket.gethostname()}-{os.getpid()}"
        with database.write() as session:
            held = tasks.claim(session, task_id, worker=name, lease_seconds=LEASE_SECONDS)
        return None if held is None else cls(database, held)

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
        """Whether someone asked to cancel the task."""
        return self._cancelled

    def should_stop(self) -> bool:
        """Whether the work should end now: cancelled, the worker shuts down, or the lease is lost."""
        return self._cancelled or self._lost or shutdown.told()

    def report(
        self, *, stage: str | None = None, progress: float | None = None, eta_seconds: float | None = None
    ) -> None:
        """Notes what the task does; it goes out with the next renewal or `renew`."""
        self._stage = stage if stage is not None else self._stage
        self._progress = progress if progress is not None else self._progress
        self._eta_seconds = eta_seconds

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that counts only while the lease holds. Raises LeaseLost before anything is written."""
        with self._database.write() as session:
            tasks.fence(session, self.held)
            yield session

    def renew(self, session: Session) -> None:
        """Extends the lease within a transaction of `writing`, with what was reported."""
        asked = tasks.renew(
            session, self.held, lease_seconds=LEASE_SECONDS, stage=self._stage, progress=self._progress,
            eta_seconds=self._eta_seconds, clear_eta=self._eta_seconds is None,
            memory_bytes=memory.process_bytes(), device_memory_bytes=memory.device_bytes(),
        )
        self._cancelled = self._cancelled or asked
        self._told = (self._stage, self._progress)
        self._renew_at = time.monotonic() + RENEW_SECONDS
        self._valid_until = time.monotonic() + LEASE_SECONDS

    def finish(self, session: Session, status: Status, error: str | None = None) -> None:
        """Ends the task within a transaction of `writing`."""
        # From here on the row no longer is ours to renew; a thread in mid-renewal waits for this transaction
        self._ended.set()
        tasks.finish(session, self.held, status, error)

    def release(self) -> None:
        """Gives the task back, so that another worker goes on."""
        self._ended.set()
        with self._database.write() as session:
            tasks.release(session, self.held)

    def _keep(self) -> None:
        while not self._ended.wait(LISTEN_SECONDS):
            try:
                if time.monotonic() >= self._renew_at or (self._stage, self._progress) != self._told:
                    with self.writing() as session:
                        self.renew(session)
                else:
                    with self._database.read() as session:
                        task = tasks.get(session, self.held.task_id)
                    if task is None:
                        raise LeaseLost(f"task {self.held.task_id} was deleted")
                    self._cancelled = self._cancelled or task.cancel_requested
            except LeaseLost:
                if not self._ended.is_set():
                    self._lost = True
                return
            except OperationalError as error:
                # The database does not answer: the lease holds until it runs out
                _log.warning("task %d: the lease could not be renewed: %s", self.held.task_id, error.orig)
                if time.monotonic() > self._valid_until:
                    self._lost = True
                    return
