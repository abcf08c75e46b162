"""Lets answers without an end know that the server stops: uvicorn waits for them before it tells the application."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def announced() -> Iterator[threading.Event]:
    """An event that is set when the process is told to stop, before whoever listened until now hears of it.

    Outside the main thread, where no signal arrives, it is set at the end alone.
    """
    stopping = threading.Event()
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in _SIGNALS}

        def stop(number: int, frame: FrameType | None) -> None:
            stopping.set()
            handler = before[signal.Signals(number)]
            if callable(handler):
                handler(number, frame)

        for number in _SIGNALS:
            signal.signal(number, stop)
    try:
        yield stopping
    finally:
        stopping.set()
        for number, handler in before.items():
            signal.signal(number, handler)
