"""Limits of the event streams that are open at once in one API process."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from densitylab.backend.shared.errors import DomainError

MAX_STREAMS = 100
MAX_STREAMS_PER_ADDRESS = 25


class TooManyStreams(DomainError):
    """All streams of this process, or of the client's address, are in use."""

    status = 503

    def __init__(self, number: int, where: str) -> None:
        super().__init__(f"{number} streams {where} are open already; close one", headers={"Retry-After": "10"})


class StreamSlots:
    """Counts the open streams by the address of their client."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def taken(self, address: str) -> Iterator[None]:
        """Count a stream while it is open. Raises TooManyStreams."""
        if self._open[address] >= MAX_STREAMS_PER_ADDRESS:
            raise TooManyStreams(MAX_STREAMS_PER_ADDRESS, f"from {address}")
        if self._open.total() >= MAX_STREAMS:
            raise TooManyStreams(MAX_STREAMS, "of this server")
        self._open[address] += 1
        try:
            yield
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]
