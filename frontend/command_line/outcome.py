"""Exit codes, and the errors behind them."""

import sys
from collections.abc import Sequence

from densitylab.backend.shared.contracts import Run, Status

DONE, FAILED, WRONG, UNSUCCESSFUL, TIMED_OUT, INTERRUPTED = 0, 1, 2, 3, 4, 130


class WrongInput(Exception):
    """An argument or a file is not valid; `str()` is one sentence."""


def report_unsuccessful(runs: Sequence[Run]) -> int:
    """Print the runs that did not succeed, with their errors, and return the exit code."""
    unsuccessful = [run for run in runs if run.status is not Status.SUCCEEDED]
    for run in unsuccessful:
        print(f"Run {run.id} {run.status.value}: {run.error or 'no reason given'}", file=sys.stderr)
    return UNSUCCESSFUL if unsuccessful else DONE
