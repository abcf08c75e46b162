"""The line that shows the progress of a task."""

import sys

from densitylab.backend.shared.contracts import Status, Task


class TaskLine:
    """Prints the stages of a task: on one line in a terminal, else each on a line."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, task: Task) -> None:
        text = task.stage or task.status.value
        if sys.stdout.isatty():
            end = "\n" if task.status is Status.SUCCEEDED else ""
            print(f"\r{f'{task.progress:4.0%}  {text}':<78}", end=end, flush=True)
        elif text != self._last:
            print(text, flush=True)
        self._last = text
