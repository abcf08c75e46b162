"""Output for programs."""

import sys


def write_data(text: str) -> None:
    """Write JSON or CSV to standard output in UTF-8, whatever the encoding of the terminal."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()
