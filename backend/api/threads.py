"""How many requests are worked on at once in one process.

A handler takes a few milliseconds of the interpreter, which one thread has at a time: more threads than a few stand in
each other's way. At 200 requests a second of a mixed kind on two cores, anyio's usual 40 took up to 3.3 s (p99), six
1.5 s, four 0.2 s, and two 3.0 s, since they also wait for the database (benchmarks/load.py).
"""

import anyio.to_thread

THREADS = 4


def limit() -> None:
    """To be called in the event loop, before the first request."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
