"""How many requests are worked on at once, and how the interpreter shares itself out among them.

A handler takes a few milliseconds of the interpreter, which one thread has at a time. With anyio's 40 threads and
CPython's 5 ms a turn, 200 requests a second stood in each other's way until answers took six seconds, with half a core
idle; with these figures they take 150 ms at most (p99, benchmarks/load.py).
"""

import sys

import anyio.to_thread

THREADS = 10
TURN_SECONDS = 0.0005


def share_out() -> None:
    """To be called in the event loop, before the first request."""
    sys.setswitchinterval(TURN_SECONDS)
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
