"""Arguments of `densitylab worker`."""

import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from densitylab.worker.arguments import parse
from densitylab.worker.runtime.ending import Ending

ROLES = ("training", "interactive", "prepare")


def test_without_options_a_worker_never_ends_by_itself():
    assert parse(ROLES, ["prepare"]) == ("prepare", Ending())
    assert Ending().fits(1e9)


def test_options():
    words = ["training", "--exit-when-idle", "--idle-seconds", "5", "--max-runs", "3"]
    assert parse(ROLES, words) == ("training", Ending(when_idle=True, idle_seconds=5, max_runs=3))


@pytest.mark.parametrize(
    ("text", "seconds"), [("3h50m", 13_800), ("90s", 90), ("1d2h3m4s", 93_784), ("45m", 2_700), ("36500d", 3.1536e9)]
)
def test_durations(text, seconds):
    assert parse(ROLES, ["training", "--until", text])[1].until == pytest.approx(time.time() + seconds, abs=3700)


def test_times_are_local_without_a_zone():
    soon = datetime.now().replace(microsecond=0) + timedelta(hours=30)
    for text in (soon.isoformat(), soon.astimezone(UTC).isoformat()):
        assert parse(ROLES, ["training", "--until", text])[1].until == soon.timestamp()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--until", "noon"], "argument --until: expected a time such as 2026-11-30T08:00 or a duration"),
        (["--until", "90"], "argument --until: expected a time"),
        (["--until", ""], "argument --until: expected a time"),
        (["--until", "99999999d"], "argument --until: expected a time"),
        (["--until", "0s"], "argument --until: expected a time to come; got 0s"),
        (["--until", "2020-01-01T00:00"], "argument --until: expected a time to come; got 2020-01-01T00:00"),
        (["--max-runs", "0"], "argument --max-runs: expected a whole number from 1 on; got '0'"),
        (["--max-runs", "two"], "argument --max-runs: expected a whole number"),
        (["--exit-when-idle", "--idle-seconds", "0.5"], "argument --idle-seconds: expected a whole number"),
        (["--idle-seconds", "5"], "argument --idle-seconds: expected --exit-when-idle"),
    ],
)
def test_a_bad_value_names_its_option(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(ROLES, ["training", *words])
    assert ended.value.code == 2
    assert message in re.sub(r"\s+", " ", capsys.readouterr().err)


def test_other_roles_train_no_runs(capsys):
    with pytest.raises(SystemExit):
        parse(ROLES, ["prepare", "--max-runs", "1"])
    assert "argument --max-runs: expected the role training" in capsys.readouterr().err
