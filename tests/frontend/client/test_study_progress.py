"""The time that a study takes."""

from datetime import UTC, datetime

import pytest

from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.contracts.studies import Study, StudyLaunch
from densitylab.frontend.client.study_progress import study_state


def study(*, eta_seconds: float | None = None) -> Study:
    launch = StudyLaunch(
        key="mlp",
        label="MLP",
        experiment=1,
        runs=4,
        counts={Status.SUCCEEDED: 1, Status.QUEUED: 3},
        evaluation_counts={Status.SUCCEEDED: 4, Status.QUEUED: 12},
    )
    return Study(
        id=1,
        key="leakage",
        label="Feature leakage",
        version=1,
        question="?",
        size="minutes",
        datasets={},
        launches=[launch],
        finished=False,
        progress=0.25,
        eta_seconds=eta_seconds,
        owner=None,
        created_at=datetime.now(UTC),
    )


def test_the_time_left_follows_from_what_was_done_so_far():
    assert study_state(study(), 60, 0.0).remaining_seconds == pytest.approx(180)
    assert "about 3 min" in str(study_state(study(), 60, 0.0))


def test_without_time_passed_the_time_left_is_that_of_the_api_or_not_known():
    assert study_state(study(), 0, 0.0).remaining_seconds is None
    assert study_state(study(eta_seconds=40), 0, 0.0).remaining_seconds == 40


def test_cancelled_evaluations_are_not_awaited():
    counts = {Status.SUCCEEDED: 4, Status.QUEUED: 4, Status.CANCELLED: 8}
    launch = study().launches[0].model_copy(update={"evaluation_counts": counts})
    state = study_state(study().model_copy(update={"launches": [launch], "progress": 0.5}), 0, 0.0)
    assert state.done == pytest.approx(0.5)
