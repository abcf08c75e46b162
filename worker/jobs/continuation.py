"""Continued runs: the curves of the run before, and what schedules do when a run becomes longer."""

from collections.abc import Callable

from sqlalchemy.orm import Session

from densitylab.backend.shared.contracts import Run
from densitylab.backend.shared.store import metrics, runs
from densitylab.worker.training.config import TrainingConfig
from densitylab.worker.training.loop import LOGGED, log_every
from densitylab.worker.training.state import TrainingState

_COMPARED = 500  # steps at which two schedules are compared


def copy_curves(session: Session, source: Run, run_id: int, step: int, steps_per_epoch: int, epochs: int) -> None:
    """Store the points of a run up to `step` as those of the run that continues it.

    A longer run logs fewer of its steps: points that it would not have logged are left out, so that the curves are
    those of a run of all epochs at once.
    """
    before, after = (log_every(steps_per_epoch * number) for number in (source.spec.epochs, epochs))
    metrics.truncate(session, run_id, 0)
    metrics.copy(session, source.id, run_id, until=step, thinned=LOGGED, every=after if after % before == 0 else 1)
    runs.set_metrics(session, run_id, source.metrics)


def schedule_lines(config: TrainingConfig, state: TrainingState, epochs: int, total: int) -> list[tuple[str, str]]:
    """Return lines of the log that say how learning rate and λ go on.

    Args:
        config: of the continued run.
        state: at its first step.
        epochs: of the run before.
        total: steps of the continued run.
    """
    before = total // config.epochs * epochs
    first = state.algorithm.first_stage * (total // config.epochs)  # steps of a first stage, with schedules of its own
    group = state.optimizer.param_groups[0]
    rate = group.get("initial_lr", group["lr"])

    def learning_rate(step: int, steps: int) -> float:
        return rate * config.lr_schedule(step - first, steps - first)

    def lambda_(step: int, steps: int) -> float:
        return config.schedule(config.lambda_, step - first, steps - first, state.controller)

    if state.step <= first:
        return [("info", "the first stage goes on, with schedules of its own; those of the second begin after it")]
    names = {"the learning rate": learning_rate, "λ": lambda_}
    return [("info", _line(name, of, state.step, before, total, first)) for name, of in names.items()]


def _line(name: str, of: Callable[[int, int], float], step: int, before: int, total: int, first: int) -> str:
    following = of(step + 1, total)
    compared = range(first + 1, step + 1, max(1, step // _COMPARED))
    if all(of(earlier, before) == of(earlier, total) for earlier in compared):
        return f"{name} goes on at {following:g}; its schedule does not depend on the number of epochs"
    return (
        f"the schedule of {name} is stretched to {total:,} steps: {of(step, before):g} at step {step}, "
        f"{following:g} at step {step + 1}; a run of all epochs at once would differ"
    )
