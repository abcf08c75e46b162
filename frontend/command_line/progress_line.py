"""Progress of runs and studies in a terminal."""

import sys
import time
from typing import TextIO

from densitylab.frontend.client import WaitState
from densitylab.frontend.client.study_progress import StudyState

_FILE_SECONDS = 15.0  # between two lines in a file


class ProgressLine:
    """The `progress` argument of `wait` and `wait_study`: overwrites one line; in a file, writes a line every 15 s and
    one at the end.

    Args:
        output: default: standard output at the time of the call.
    """

    def __init__(self, output: TextIO | None = None) -> None:
        self._output = output or sys.stdout
        self._written_at = time.monotonic()

    def __call__(self, state: WaitState | StudyState) -> None:
        ended = state.done == 1.0
        if self._output.isatty():
            print(f"\r{state!s:<78}", end="\n" if ended else "", file=self._output, flush=True)
        elif ended or time.monotonic() - self._written_at > _FILE_SECONDS:
            self._written_at = time.monotonic()
            print(state, file=self._output, flush=True)
