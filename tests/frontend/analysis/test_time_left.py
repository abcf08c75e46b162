"""The time left of several experiments against schedules worked by hand."""

from datetime import UTC, datetime

import pytest

from densitylab.backend.shared.contracts import Experiment
from densitylab.frontend.analysis.time_left import time_left


def unfinished(seconds: float | None, *workers: str, untimed: int = 0) -> Experiment:
    return Experiment(
        id=1,
        name="e",
        created_at=datetime.now(UTC),
        eta_seconds=seconds,
        untimed_evaluations=untimed,
        workers=list(workers),
    )


FINISHED = unfinished(None).model_copy(update={"finished": True})


@pytest.mark.parametrize(
    ("experiments", "words"),
    [
        ([FINISHED], ""),
        ([unfinished(60, "a"), FINISHED], "about 1 min 00 s left"),
        ([unfinished(60, "a", untimed=2)], "about 1 min 00 s left and 2 evaluations of unknown time"),
        ([unfinished(None, "a")], "time left not known yet"),
        ([unfinished(196, "a"), unfinished(None, "b")], "at least 3 min 16 s left"),
        pytest.param([unfinished(60, "a"), unfinished(90, "b")], "about 1 min 30 s left", id="on workers of their own"),
        pytest.param([unfinished(60, "a"), unfinished(90, "a")], "about 2 min 30 s left", id="on one worker"),
        pytest.param(
            [unfinished(60, "a", "b"), unfinished(90, "a", "b")], "about 2 min 30 s left", id="on the same two workers"
        ),
        # 2 · 60 s of work of one worker, and 90 s that nobody has begun, by two workers
        pytest.param([unfinished(60, "a", "b"), unfinished(90)], "about 1 min 45 s left", id="one waits for the other"),
        pytest.param([unfinished(60), unfinished(90)], "about 2 min 30 s left", id="nothing has begun"),
    ],
)
def test_experiments_share_the_workers_that_are_at_them(experiments: list[Experiment], words: str):
    assert time_left(experiments) == words
