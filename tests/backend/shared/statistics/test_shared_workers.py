"""The time left of several experiments, against schedules that are known."""

from datetime import UTC, datetime
from typing import Any

import pytest

from densitylab.backend.shared.contracts import Experiment
from densitylab.backend.shared.statistics.shared_workers import seconds_together

WAITING = {"eta_seconds": 100.0, "eta_workers": 2}  # 200 seconds of one worker
AT_WORK = {"eta_seconds": 100.0, "eta_workers": 2, "workers": ["a", "b"]}
ALONE = {"eta_seconds": 100.0, "workers": ["a"]}


@pytest.mark.parametrize(
    ("experiments", "seconds"),
    [
        pytest.param([WAITING, WAITING], 200.0, id="none has begun"),
        pytest.param([AT_WORK, WAITING], 200.0, id="one waits for the other"),
        pytest.param([ALONE, {**ALONE, "workers": ["b"]}], 100.0, id="each has its own worker"),
        pytest.param([ALONE, {"eta_seconds": None}], 100.0, id="of one it is not known"),
        pytest.param([{**ALONE, "finished": True}], None, id="all have ended"),
    ],
)
def test_experiments_share_the_workers(experiments: list[dict[str, Any]], seconds: float | None):
    created = datetime(2026, 1, 1, tzinfo=UTC)
    answers = [Experiment(id=n, name="e", created_at=created, **values) for n, values in enumerate(experiments)]
    assert seconds_together(answers) == seconds
