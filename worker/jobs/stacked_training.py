"""Trains several runs as one; each has its own curves, checkpoints and end."""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress

from sqlalchemy.exc import OperationalError

from densitylab.backend.shared.store.tasks import LeaseLost
from densitylab.worker.jobs import failures, task_runner
from densitylab.worker.jobs.attempt import Attempt, tolerated
from densitylab.worker.jobs.checkpointing import save_together
from densitylab.worker.runtime import stop_signal
from densitylab.worker.training.batches import Batches
from densitylab.worker.training.loop import TrainingDiverged
from densitylab.worker.training.stacked.loop import StackedTraining
from densitylab.worker.training.stacked.member import Member

_log = logging.getLogger(__name__)


def train_together(attempts: Sequence[Attempt], batches: Batches) -> None:
    """Train runs as one until the task of each has ended or is given back. A run that ends early, fails or is cancelled
    leaves; the others go on.

    Args:
        attempts: at the same step, not begun; their leases are renewed elsewhere.
        batches: of the first one.
    """
    present = sorted(attempts, key=lambda attempt: attempt.record.id)  # the order in which runs are locked
    try:
        with ExitStack() as stack:
            by_seed = {attempts[0].record.spec.seed: batches}
            for attempt in present:
                seed = attempt.record.spec.seed
                if seed not in by_seed:
                    by_seed[seed] = stack.enter_context(closing(batches.of_seed(seed)))
            runs = sorted(attempt.record.id for attempt in present)
            line = f"{len(runs)} runs of the experiment train as one: {', '.join(map(str, runs))}"
            for attempt in present:
                attempt.begin([line], stacked={"runs": runs})
            _Stack(present, by_seed).train()
    except Exception as error:
        advised = failures.of_training(error, attempts[0].state.device, attempts[0].record.spec.batch_size)
        for attempt in list(present):
            _end(attempt, _raiser(advised))


class _Stack:
    """The runs that still train. The list that it is made with shrinks as they end."""

    def __init__(self, present: list[Attempt], by_seed: dict[int, Batches]) -> None:
        self._present = present
        self._attempts = {
            Member(attempt.state, attempt.config, by_seed[attempt.record.spec.seed]): attempt for attempt in present
        }
        self._training = StackedTraining(list(self._attempts), present[0].images.validation)

    def train(self) -> None:
        with self._training as training:
            while training.members:
                self._leave([member for member in training.members if training.ended(member)], Attempt.finish)
                stopping = [member for member in training.members if self._attempts[member].lease.should_stop()]
                self._stop(list(training.members) if stop_signal.requested() else stopping)
                if training.members:
                    self._step()

    def _step(self) -> None:
        for member, report in self._training.step().items():
            if isinstance(report, TrainingDiverged):
                self._leave([member], _raiser(report))
            else:
                self._attempts[member].note(report)
        self._store()

    def _store(self) -> None:
        """Write curves and checkpoints if it is time to, of all runs in one transaction."""
        try:
            if any(attempt.checkpointer.due() for attempt in self._present):
                self._save(self._present)
            elif any(attempt.recorder.due() for attempt in self._present):
                recorders = [attempt.recorder for attempt in self._present]
                recorders[0].flush(together=recorders)
        except LeaseLost:  # of one of them, which leaves
            for member in list(self._training.members):
                try:
                    self._attempts[member].recorder.flush()
                except LeaseLost as lost:
                    self._leave([member], _raiser(lost))

    def _save(self, attempts: Sequence[Attempt]) -> None:
        self._training.write_back()
        with tolerated(attempts):
            save_together([(attempt.checkpointer, attempt.state) for attempt in attempts])

    def _stop(self, members: Sequence[Member]) -> None:
        if len(members) > 1:  # the worker ends: so that all go on from the same step
            with suppress(LeaseLost):  # then each is saved on its own
                self._save([self._attempts[member] for member in members])
        self._leave(members, _stop_one)

    def _leave(self, members: Sequence[Member], act: Callable[[Attempt], None]) -> None:
        self._training.leave(members)
        for member in members:
            self._present.remove(self._attempts[member])
            _end(self._attempts[member], act)


def _stop_one(attempt: Attempt) -> None:
    raise attempt.stop()


def _raiser(error: Exception) -> Callable[[Attempt], None]:
    """Return a function that keeps the metrics until the error, and raises it."""

    def fail(attempt: Attempt) -> None:
        if not isinstance(error, LeaseLost) and hasattr(attempt, "recorder"):
            attempt.recorder.flush()
        raise error

    return fail


def _end(attempt: Attempt, act: Callable[[Attempt], None]) -> None:
    """Let a run end by `act`, or as the error that it raises says."""
    try:
        try:
            act(attempt)
        except (LeaseLost, OperationalError):
            raise
        except Exception as error:
            task_runner.end(attempt.lease, error)
    except (LeaseLost, OperationalError) as error:
        # another worker has the task, or will have it when its lease expires
        _log.warning("run %d leaves the runs that train together: %s", attempt.record.id, error)
