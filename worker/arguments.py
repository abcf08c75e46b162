"""Arguments of `densitylab worker`."""

import argparse
import re
import time
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from densitylab.worker.runtime.ending import IDLE_SECONDS, Ending

_DURATION = re.compile(r"(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_DESCRIPTION = """\
Start a worker, which runs tasks of the queues of its role. Without options it runs until SIGTERM. A worker that ends by
itself has the exit code 0, and hands what it has not finished back to the queue.
"""


def parse(roles: Collection[str], arguments: Sequence[str] | None) -> tuple[str, Ending]:
    """Return the role and when the worker ends. A wrong value exits with code 2 and names the option."""
    parser = argparse.ArgumentParser(prog="densitylab worker", description=_DESCRIPTION)
    parser.add_argument("role", choices=roles)
    parser.add_argument("--exit-when-idle", action="store_true", help="end when the queues have been empty for a while")
    parser.add_argument(
        "--idle-seconds", type=_positive, metavar="N", help=f"length of that while in seconds (default {IDLE_SECONDS})"
    )
    parser.add_argument(
        "--until",
        type=_time,
        metavar="TIME",
        help="end at a time such as 2026-11-30T08:00, or after a duration such as 3h50m: the run in progress is stored "
        "and handed back; after the first run, none is started that would not end before, by the speed of runs like it",
    )
    parser.add_argument(
        "--max-runs", type=_positive, metavar="N", help="end after N runs of training, and the evaluations that wait"
    )
    given = parser.parse_args(arguments)
    if given.max_runs is not None and given.role != "training":
        parser.error(f"argument --max-runs: expected the role training, which trains runs; got {given.role}")
    if given.idle_seconds is not None and not (given.exit_when_idle or given.max_runs or given.until):
        parser.error("argument --idle-seconds: expected --exit-when-idle, --until or --max-runs beside it")
    return given.role, Ending(given.exit_when_idle, given.idle_seconds or IDLE_SECONDS, given.until, given.max_runs)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) < 2**31:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on; got {text!r}")
    return int(text)


def _time(text: str) -> float:
    """Return a time, in seconds since the epoch, from an ISO time (local without a zone) or a duration from now on."""
    duration = _DURATION.fullmatch(text)
    try:
        if duration is None:
            at = datetime.fromisoformat(text).timestamp()
        else:
            days, hours, minutes, seconds = (int(part or 0) for part in duration.groups())
            length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
            at = (datetime.now() + length).timestamp()
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(
            f"expected a time such as 2026-11-30T08:00 or a duration such as 3h50m; got {text!r}"
        ) from None
    if at <= time.time():
        raise argparse.ArgumentTypeError(f"expected a time to come; got {text}, which has passed")
    return at
