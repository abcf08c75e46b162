"""Acts while a job runs in the test's own thread."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def when(condition: Callable[[], bool], act: Callable[[], Any]) -> Iterator[None]:
    """Call `act` from another thread as soon as `condition` is true."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            if condition():
                act()
                return

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    ended.set()
    thread.join()
