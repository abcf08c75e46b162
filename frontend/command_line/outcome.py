"""Exit codes, and the errors behind them."""

import sys
from collections.abc import Sequence

from densitylab.backend.shared.contracts import Run, Status
from densitylab.frontend.client import ApiClient

DONE, FAILED, WRONG, UNSUCCESSFUL, TIMED_OUT, INTERRUPTED = 0, 1, 2, 3, 4, 130


class WrongInput(Exception):
    """An argument or a file is not valid; `str()` is one sentence."""


def report_unsuccessful(client: ApiClient, runs: Sequence[Run]) -> int:
    """Print the runs that did not succeed, and the evaluations of the others that did not, with their errors; return
    the exit code."""
    failed_runs = [run for run in runs if run.status is not Status.SUCCEEDED]
    failed_evaluations = client.unsuccessful_evaluations(runs)
    lines = [f"Run {run.id} {run.status.value}: {run.error or 'no reason given'}" for run in failed_runs]
    lines += [
        f"Evaluation {item.name} of run {item.run} {item.status.value}: {item.error or 'no reason given'}"
        for item in failed_evaluations
    ]
    for line in lines:
        print(line, file=sys.stderr)
    return UNSUCCESSFUL if lines else DONE
