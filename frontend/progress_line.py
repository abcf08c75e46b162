"""Progress for a terminal: one line that is written over."""

import sys
import time
from typing import TextIO

from frontend.client import WaitState

_FILE_SECONDS = 15.0  # a file needs no line a second


class ProgressLine:
    """To be handed to `wait` as `progress`. Where the output is no terminal, a new line every 15 s and one at the end.

    Args:
        output: where to; unless given, what is standard output when it is made.
    """

    def __init__(self, output: TextIO | None = None) -> None:
        self._output = output or sys.stdout
        self._said = time.monotonic()

    def __call__(self, state: WaitState) -> None:
        ended = state.done == 1.0
        if self._output.isatty():
            print(f"\r{state!s:<78}", end="\n" if ended else "", file=self._output, flush=True)
        elif ended or time.monotonic() - self._said > _FILE_SECONDS:
            self._said = time.monotonic()
            print(state, file=self._output, flush=True)
