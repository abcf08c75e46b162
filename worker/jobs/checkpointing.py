"""The checkpoints of a run: written every few seconds, under the lease. The newest and the one before are kept, of a
run that has succeeded its last one alone."""

import io
import re
import time
from collections.abc import Callable, Collection, Sequence

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from densitylab.backend.shared.artifacts import checked_location
from densitylab.backend.shared.store import run_artifacts, tasks
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.recorder import Recorder
from densitylab.worker.runtime.lease import Lease
from densitylab.worker.training import checkpoints
from densitylab.worker.training.state import TrainingState

CHECKPOINT_SECONDS = 5.0
FIRST_SECONDS = 1.0  # until the first of an attempt, so that even a short attempt makes progress
SHARE_OF_TIME = 0.05  # largest share of the training time that saving may take
_NAME = re.compile(r"(?:^|\.)(\d+)-\d+\.")


class Checkpoints:
    """The checkpoints of one run under one lease: write a file, then the row's pointer, then delete the unused file."""

    def __init__(self, context: Context, lease: Lease, recorder: Recorder, run_id: int, *, saved_step: int) -> None:
        self._context = context
        self._lease = lease
        self._recorder = recorder
        self._run_id = run_id
        self.saved_step = saved_step
        self.failing = False  # whether the last attempt to save during the training failed
        self._doubtful = False  # a failed transaction may have been committed
        self._due_at = time.monotonic() + min(FIRST_SECONDS, CHECKPOINT_SECONDS)

    def due(self) -> bool:
        """Return whether it is time for the next checkpoint."""
        return time.monotonic() >= self._due_at

    def save(self, state: TrainingState, finish: Callable[[Session], None] | None = None) -> None:
        """Store the state with all metric points so far, and what `finish` adds at the end of the run, in one
        transaction.

        Raises:
            OSError: the store refused the file; the previous checkpoint is kept.
            OperationalError: the database refused the transaction; the previous checkpoint or this one is kept.
            LeaseLost: another worker has the task.
        """
        save_together([(self, state)], finish)

    def _write(self, state: TrainingState) -> tuple[str, int]:
        """Write the file; return its location and its size in bytes."""
        buffer = io.BytesIO()
        checkpoints.save(buffer, state)
        content = buffer.getvalue()
        location = checked_location(f"{folder(self._run_id)}/{self._lease.task.token}-{state.step}.pt", content)
        return location, self._context.artifacts.write(location, content)

    def _point_to(self, session: Session, location: str, size: int, step: int, *, final: bool) -> list[str]:
        """Point the run to a file; return the locations of those to delete after the commit."""
        unused = run_artifacts.move_checkpoint(
            session, self._run_id, location=location, size=size, step=step, final=final
        )
        if step > self.saved_step:
            tasks.advanced(session, self._lease.task)
        return unused

    def _clean_up(self, unused: list[str]) -> None:
        """Delete the files that are no longer used."""
        if self._doubtful:
            with self._context.database.read() as session:
                kept = run_artifacts.checkpoint_locations(session, self._run_id)
            remove_orphans(self._context, self._run_id, token=self._lease.task.token + 1, keep=kept)
            self._doubtful = False
        for location in unused:
            self._context.artifacts.delete(location)


def save_together(
    members: Sequence[tuple[Checkpoints, TrainingState]], finish: Callable[[Session], None] | None = None
) -> None:
    """Store the states of runs as `Checkpoints.save` does, all in one transaction: after it each run continues from
    this step, and without it none does."""
    began = time.monotonic()
    unused: list[list[str]] = []
    try:
        files = [each._write(state) for each, state in members]

        def point_to_them(session: Session) -> None:
            unused[:] = [
                each._point_to(session, *file, state.step, final=finish is not None)
                for (each, state), file in zip(members, files, strict=True)
            ]
            if finish is not None:
                finish(session)

        recorders = [each._recorder for each, _ in members]
        recorders[0].flush(point_to_them, together=recorders)
    except OperationalError:
        for each, _ in members:
            each._doubtful = True
        raise
    finally:
        taken = time.monotonic() - began
        for each, _ in members:
            each._due_at = time.monotonic() + max(CHECKPOINT_SECONDS, taken / SHARE_OF_TIME)
    for (each, state), locations in zip(members, unused, strict=True):
        each.saved_step = state.step
        each._clean_up(locations)


def folder(run_id: int) -> str:
    """Return the folder of a run's checkpoints in the artifact store."""
    return f"runs/{run_id}/checkpoints"


def remove_orphans(context: Context, run_id: int, *, token: int, keep: Collection[str]) -> None:
    """Delete files that workers with older tokens left: those that no row points to, and partial ones."""
    for location in context.artifacts.locations(folder(run_id)):
        written_by = _NAME.search(location.rpartition("/")[2])
        if location not in keep and written_by is not None and int(written_by[1]) < token:
            context.artifacts.delete(location)
