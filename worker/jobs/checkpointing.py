"""A run's checkpoint: written often enough that a killed process costs seconds, fenced, and only ever one kept."""

import io
import re
import time
from collections.abc import Callable

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from backend.shared.store import runs, tasks
from worker import checkpoints
from worker.jobs.context import Context
from worker.jobs.recorder import Recorder
from worker.lease import Lease
from worker.training import TrainingState

CHECKPOINT_SECONDS = 5.0
FIRST_SECONDS = 1.0  # the first of an attempt, so that one which is cut off soon has not been fruitless
SHARE_OF_TIME = 0.05  # saving may take this much of the training at most
_NAME = re.compile(r"(?:^|\.)(\d+)-\d+\.pt")


class Checkpoints:
    """The checkpoint of one run under one lease: file first, then the row's pointer, then the old file goes."""

    def __init__(self, context: Context, lease: Lease, recorder: Recorder, run_id: int, *, saved_step: int) -> None:
        self._context = context
        self._lease = lease
        self._recorder = recorder
        self._run_id = run_id
        self.saved_step = saved_step
        self._doubtful = False  # whether a transaction was refused, which may have been committed all the same
        self._due_at = time.monotonic() + min(FIRST_SECONDS, CHECKPOINT_SECONDS)

    def due(self) -> bool:
        return time.monotonic() >= self._due_at

    def save(self, state: TrainingState, also: Callable[[Session], None] | None = None) -> None:
        """Stores the state with all points so far, and what `also` adds, in one transaction.

        Raises:
            OSError: the store refused the file; the checkpoint before it stands.
            OperationalError: the database refused the transaction; one checkpoint or the other stands.
            LeaseLost: the task is another worker's now.
        """
        began = time.monotonic()
        try:
            old = self._store(state, also)
        except OperationalError:
            self._doubtful = True
            raise
        finally:
            taken = time.monotonic() - began
            self._due_at = time.monotonic() + max(CHECKPOINT_SECONDS, taken / SHARE_OF_TIME)
        self.saved_step = state.step
        if self._doubtful:
            token = self._lease.held.token
            remove_orphans(self._context, self._run_id, token=token + 1, keep=self._location(state))
            self._doubtful = False
        elif old is not None:
            self._context.artifacts.delete(old)

    def _location(self, state: TrainingState) -> str:
        return f"{folder(self._run_id)}/{self._lease.held.token}-{state.step}.pt"

    def _store(self, state: TrainingState, also: Callable[[Session], None] | None) -> str | None:
        location = self._location(state)
        buffer = io.BytesIO()
        checkpoints.save(buffer, state)
        size = self._context.artifacts.write(location, buffer.getvalue())
        replaced: list[str | None] = []

        def point_to_it(session: Session) -> None:
            replaced.append(
                runs.move_checkpoint(session, self._run_id, location=location, size=size, step=state.step)
            )
            if state.step > self.saved_step:
                tasks.advanced(session, self._lease.held)
            if also is not None:
                also(session)

        self._recorder.flush(point_to_it)
        return replaced[0]


def folder(run_id: int) -> str:
    return f"runs/{run_id}/checkpoints"


def remove_orphans(context: Context, run_id: int, *, token: int, keep: str | None) -> None:
    """Deletes what workers of older tokens left behind: files that no row points to, and halves of files."""
    for location in context.artifacts.locations(folder(run_id)):
        written_by = _NAME.search(location.rpartition("/")[2])
        if location != keep and written_by is not None and int(written_by[1]) < token:
            context.artifacts.delete(location)
