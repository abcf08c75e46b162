"""Exit codes, and what leads to them."""

import sys
from collections.abc import Sequence

from backend.shared.contracts import Run, Status

DONE, FAILED, WRONG, UNSUCCESSFUL, TIMED_OUT, INTERRUPTED = 0, 1, 2, 3, 4, 130


class WrongInput(Exception):
    """Arguments or files that cannot be what was meant; `str()` is one sentence."""


def tell_unsuccessful(runs: Sequence[Run]) -> int:
    """Names the runs that did not succeed, with their errors, and gives the exit code."""
    unsuccessful = [run for run in runs if run.status is not Status.SUCCEEDED]
    for run in unsuccessful:
        print(f"Run {run.id} {run.status.value}: {run.error or 'no reason given'}", file=sys.stderr)
    return UNSUCCESSFUL if unsuccessful else DONE
