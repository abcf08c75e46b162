"""Waiting for runs, with what is still to come."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend.shared.contracts import Evaluation, Run, Status
from frontend.client.both import both
from frontend.client.errors import ApiError, RunsFailed
from frontend.client.events import OUTAGE_SECONDS
from frontend.client.experiments import ExperimentRoutes
from frontend.client.runs import RunRoutes
from frontend.words import duration

_TRAINING = 0.6  # share of a run's time, the rest goes to its measures


@dataclass(frozen=True)
class WaitState:
    """How far the runs are that somebody waits for; `str()` is one line."""

    runs: list[Run]
    done: float  # 0 to 1; 1: each is trained and measured, or has failed or was cancelled
    seconds: float  # since the waiting began
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
    @both
    async def wait(
        self, experiment: int | None = None, *, runs: Sequence[int] | None = None, timeout: float | None = None,
        poll_seconds: float = 1.0, expected_seconds: float | None = None,
        progress: Callable[[WaitState], None] | None = None, check: bool = False,
    ) -> list[Run]:
        """The runs, in order of their ids, once all are trained and measured, or have failed or were cancelled.

        Args:
            experiment: all its runs; or name `runs` instead.
            timeout: seconds; None: for ever.
            poll_seconds: how often the API is asked.
            expected_seconds: what the work is thought to take: the time left until it can be told from the work.
            progress: is called after each look.
            check: whether runs that did not succeed raise; else they are among those returned, with their `error`.

        Raises:
            ApiError: refused, or the API is away for a minute.
            RunsFailed: only with `check`.
            TimeoutError: not done in time. The runs go on.
        """
        if (experiment is None) == (runs is None):
            raise ValueError("expected an experiment, or runs")
        if experiment is not None:
            await self.experiment(experiment)  # of one that is not there the listing would say that it has no runs
        began = heard = time.monotonic()
        found: list[Run] = []
        measures: dict[int, list[Evaluation]] = {}
        while True:
            try:
                if experiment is not None:
                    found = await self.runs_of(experiment)
                else:
                    ended = {run.id: run for run in found if _share(run, measures.get(run.id)) == 1.0}
                    found = [ended.get(number) or await self.run(number) for number in sorted(set(runs or ()))]
                for run in found:
                    if run.status.final and _share(run, measures.get(run.id)) < 1.0:
                        measures[run.id] = await self.evaluations(run.id)
                heard = time.monotonic()
            except ApiError as error:
                if not (error.passing and found and time.monotonic() - heard < OUTAGE_SECONDS):
                    raise
            shares = [_share(run, measures.get(run.id)) for run in found]
            state = _state(found, shares, time.monotonic() - began, expected_seconds)
            if progress is not None:
                progress(state)
            if state.done == 1.0:
                break
            if timeout is not None and state.seconds >= timeout:
                raise TimeoutError(f"After {duration(state.seconds)} {sum(share < 1 for share in shares)} of "
                                   f"{len(found)} runs are not done. They go on.")
            until = poll_seconds if timeout is None else min(poll_seconds, timeout - state.seconds)
            await self._connection.sleep(until)
        unsuccessful = [run for run in found if run.status is not Status.SUCCEEDED]
        if check and unsuccessful:
            raise RunsFailed(found, unsuccessful)
        return found


def _state(runs: list[Run], shares: Sequence[float], seconds: float, expected: float | None) -> WaitState:
    done = sum(shares) / len(shares) if shares else 1.0
    remaining = None if expected is None else max(expected - seconds, 0.0)
    if done > 0.02:
        remaining = seconds * (1 - done) / done
    return WaitState(runs, done, seconds, remaining)


def _share(run: Run, measures: Sequence[Evaluation] | None) -> float:
    """Of a run's work, what is over: the training, then each measure."""
    if measures is None:
        return run.progress * _TRAINING
    if all(item.status.final for item in measures):
        return 1.0
    measured = sum(1.0 if item.status.final else item.progress for item in measures) / len(measures)
    return _TRAINING + (1 - _TRAINING) * measured
