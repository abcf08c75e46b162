"""A time limit for work that makes no progress, such as reading from a disk that no longer answers."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def require_progress(seconds: float, on_stall: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Yield a function that notes progress. If it is not called for `seconds`, a thread calls `on_stall` once."""
    advanced, ended = threading.Event(), threading.Event()

    def watch() -> None:
        while advanced.wait(seconds):
            advanced.clear()
            if ended.is_set():
                return
        on_stall()

    thread = threading.Thread(target=watch, name="stall", daemon=True)
    thread.start()
    try:
        yield advanced.set
    finally:
        ended.set()
        advanced.set()
        thread.join()
