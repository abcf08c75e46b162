"""Listings that a client has read: asked for again, they are read anew only if the API says that they have changed."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kept:
    """A listing, and the ETag of the answer that it was read from."""

    etag: str
    listing: Any


class KeptAnswers:
    """The last answers to a number of requests. Threads may share it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[object, Kept] = OrderedDict()

    def find(self, request: object) -> Kept | None:
        with self._lock:
            if request in self._kept:
                self._kept.move_to_end(request)
            return self._kept.get(request)

    def keep(self, request: object, etag: str, listing: Any) -> None:
        with self._lock:
            self._kept[request] = Kept(etag, listing)
            self._kept.move_to_end(request)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
