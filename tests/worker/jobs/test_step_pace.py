"""The time left of a training by its own steps, against sequences whose end is known."""

import pytest

from densitylab.worker.jobs import step_pace
from densitylab.worker.jobs.step_pace import StepPace

EPOCHS, STEPS = 6, 100


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list whose only item is the present second."""
    now = [1000.0]
    monkeypatch.setattr(step_pace.time, "monotonic", lambda: now[0])
    return now


def run(clock: list[float], *, first: float, step: float, validation: float) -> list[tuple[float, float | None]]:
    """Return (seconds that are really left, estimate) after each step."""
    ends = []
    for number in range(1, EPOCHS * STEPS + 1):
        clock[0] += (first if number == 1 else step) + (validation if number % STEPS == 0 else 0.0)
        ends.append(clock[0])
    pace, answers = StepPace(), []
    for number, end in enumerate(ends, start=1):
        clock[0] = end
        answers.append((ends[-1] - end, pace.seconds_left(number, EPOCHS * STEPS)))
    return answers


def test_a_slow_first_step_is_no_measure_of_the_others(clock: list[float]):
    answers = run(clock, first=3.0, step=0.01, validation=0.0)
    known = [(right, estimate) for right, estimate in answers if estimate is not None]
    assert 490 < len(known) < 510  # not within the first second of steps
    for right, estimate in known:
        assert estimate == pytest.approx(right, abs=1e-6)


def test_validation_counts_once_it_has_been_seen(clock: list[float]):
    answers = run(clock, first=3.0, step=0.01, validation=0.5)
    for right, estimate in answers[STEPS + 1 :]:
        assert estimate == pytest.approx(right, rel=0.25, abs=0.6)  # the present epoch's is still to come
    assert answers[-1] == (0.0, 0.0)
