"""Wait for runs, with progress and the time left."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from densitylab.backend.shared.contracts import Evaluation, Run, Status
from densitylab.frontend.client.dual_api import sync_and_async
from densitylab.frontend.client.durations import duration
from densitylab.frontend.client.errors import ApiError, RunsFailed
from densitylab.frontend.client.resources.events import OUTAGE_SECONDS
from densitylab.frontend.client.resources.experiments import ExperimentRoutes
from densitylab.frontend.client.resources.runs import RunRoutes

_TRAINING = 0.6  # share of a run's time; the evaluations take the rest


@dataclass(frozen=True)
class WaitState:
    """Progress of the runs of `wait`; `str()` is one line."""

    runs: list[Run]
    done: float  # 0 to 1; 1: each run is trained and evaluated, or failed or was cancelled
    seconds: float  # since the call
    remaining_seconds: float | None  # None: not known yet

    def __str__(self) -> str:
        trained = sum(run.status is Status.SUCCEEDED for run in self.runs)
        ended = sum(run.status.final for run in self.runs) - trained
        line = f"{self.done:4.0%}  {trained} of {len(self.runs)} trained"
        if ended:
            line += f", {ended} failed or cancelled"
        if self.done < 1 and self.remaining_seconds is not None:
            line += f", about {duration(self.remaining_seconds)} left"
        return line


class WaitRoutes(ExperimentRoutes, RunRoutes):
    @sync_and_async
    async def wait(
        self,
        experiment: int | None = None,
        *,
        runs: Sequence[int] | None = None,
        timeout: float | None = None,
        poll_seconds: float = 1.0,
        expected_seconds: float | None = None,
        progress: Callable[[WaitState], None] | None = None,
        check: bool = False,
    ) -> list[Run]:
        """Wait until all runs are trained and evaluated, failed or cancelled, those too that a search launches; return
        them in order of their ids.

        Args:
            experiment: wait for all its runs.
            runs: wait for these runs instead.
            timeout: seconds; None: no limit.
            poll_seconds: time between two requests.
            expected_seconds: estimate of the total time, used until progress gives a better one.
            progress: called after each request.
            check: raise RunsFailed if a run, or an evaluation of a trained run, did not succeed, except runs that a
                search pruned; otherwise such runs are returned, with their `error` and `evaluation_counts`, and without
                the results of that evaluation.

        Raises:
            ApiError: refused, or the API has not answered for a minute.
            RunsFailed: only with `check`.
            TimeoutError: not done in time. The runs go on.
        """
        if (experiment is None) == (runs is None):
            raise ValueError("expected an experiment, or runs")
        if experiment is not None:
            await self.experiment(experiment)  # raises if there is none, whose listing would be empty
        began = answered_at = time.monotonic()
        current: list[Run] = []
        evaluated: dict[int, list[Evaluation]] = {}
        while True:
            try:
                if experiment is not None:
                    current = await self.runs_of(experiment)
                else:
                    ended = {run.id: run for run in current if _ended(run)}
                    current = [ended.get(number) or await self.run(number) for number in sorted(set(runs or ()))]
                for run in current:
                    if run.status.final and not _ended(run):
                        evaluated[run.id] = await self.evaluations(run.id)
                answered_at = time.monotonic()
            except ApiError as error:
                if not (error.transient and current and time.monotonic() - answered_at < OUTAGE_SECONDS):
                    raise
            shares = [_share(run, evaluated.get(run.id)) for run in current]
            state = _state(current, shares, time.monotonic() - began, expected_seconds)
            if progress is not None:
                progress(state)
            if state.done == 1.0 and (experiment is None or not await self._searches(experiment)):
                break
            if timeout is not None and state.seconds >= timeout:
                raise TimeoutError(
                    f"After {duration(state.seconds)} {sum(share < 1 for share in shares)} of "
                    f"{len(current)} runs are not done. They go on."
                )
            until = poll_seconds if timeout is None else min(poll_seconds, timeout - state.seconds)
            await self._connection.sleep(until)
        if check:
            unsuccessful = await self.unsuccessful_evaluations(current)
            if unsuccessful or any(run.status is not Status.SUCCEEDED and not run.pruned for run in current):
                raise RunsFailed(current, unsuccessful)
        return current

    async def _searches(self, experiment: int) -> bool:
        """Return whether a search may launch more runs."""
        search = (await self.experiment(experiment)).search
        return search is not None and search.status == "running"

    @sync_and_async
    async def unsuccessful_evaluations(self, runs: Sequence[Run]) -> list[Evaluation]:
        """Return the evaluations of these runs that failed or were cancelled; those of runs that did not succeed
        themselves are left out.

        Raises:
            ApiError: refused, or the API does not answer.
        """
        return [
            item
            for run in runs
            if run.status is Status.SUCCEEDED and any(status.unsuccessful for status in run.evaluation_counts)
            for item in await self.evaluations(run.id)
            if item.status.unsuccessful
        ]


def _state(runs: list[Run], shares: Sequence[float], seconds: float, expected: float | None) -> WaitState:
    done = sum(shares) / len(shares) if shares else 1.0
    remaining = None if expected is None else max(expected - seconds, 0.0)
    if done > 0.02:
        remaining = seconds * (1 - done) / done
    return WaitState(runs, done, seconds, remaining)


def _ended(run: Run) -> bool:
    """Return whether neither the training nor an evaluation of the run will go on."""
    return run.status.final and all(status.final for status in run.evaluation_counts)


def _share(run: Run, evaluated: Sequence[Evaluation] | None) -> float:
    """Return the completed share of a run: of its training, then of each evaluation."""
    if _ended(run):
        return 1.0
    if not evaluated:
        return run.progress * _TRAINING
    finished = sum(1.0 if item.status.final else item.progress for item in evaluated) / len(evaluated)
    # The run was read before its last evaluation ended: it is read again, with the results
    return min(_TRAINING + (1 - _TRAINING) * finished, 0.999)
