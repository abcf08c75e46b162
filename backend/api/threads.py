"""Number of threads that serve requests in one process.

A handler holds the interpreter lock for a few milliseconds, so many threads slow each other down. At 200 mixed requests
per second on two cores, the p99 latency was 3.3 s with anyio's default of 40 threads, 1.5 s with six, 0.2 s with four,
and 3.0 s with two, since threads also wait for the database (benchmarks/load.py).
"""

import anyio.to_thread

THREADS = 4


def limit() -> None:
    """Set the number of threads; call it in the event loop, before the first request."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
