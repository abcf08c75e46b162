"""The two clients, and how to get one."""

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, ParamSpec, Self, TypeVar

import httpx

from frontend.client import sending
from frontend.client.access import AccessRoutes
from frontend.client.both import Waits
from frontend.client.connection import Awaited, Blocking
from frontend.client.datasets import DatasetRoutes
from frontend.client.errors import ApiError
from frontend.client.events import EventRoutes
from frontend.client.maps import MapRoutes
from frontend.client.sending import PATIENCE, Page
from frontend.client.system import SystemRoutes
from frontend.client.waiting import WaitRoutes

DEFAULT_URL = "http://127.0.0.1:8000"
Params = ParamSpec("Params")
Item = TypeVar("Item")


class Routes(SystemRoutes, DatasetRoutes, WaitRoutes, MapRoutes, EventRoutes, AccessRoutes):
    """One method per route, written once for both clients."""


class ApiClient(Waits, Routes):
    """One method per route, and `wait`, `events`, `draw` and `every` above them. Threads may share it.

    Each method raises ApiError where the API refuses or does not answer.
    """

    def __init__(self, http: httpx.Client, patience: float = PATIENCE) -> None:
        self.awaited = Routes(Blocking(http), patience)
        self._http = http

    @property
    def url(self) -> str:
        return str(self._http.base_url).rstrip("/")

    def every(
        self, listing: Callable[Params, Page[Item]], *args: Params.args, **kwargs: Params.kwargs
    ) -> Iterator[Item]:
        """What a method lists, over all pages: `for run in client.every(client.runs, status="failed")`. Each page is
        asked for when it is needed."""
        page = listing(*args, **kwargs)
        yield from page.items
        while page.next_cursor is not None:
            page = listing(*args, **{**kwargs, "cursor": page.next_cursor})  # type: ignore[arg-type]
            yield from page.items

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncApiClient(Routes):
    """The methods of ApiClient, to be awaited; `events` and `every` are iterated with `async for`."""

    def __init__(self, http: httpx.AsyncClient, patience: float = PATIENCE) -> None:
        super().__init__(Awaited(http), patience)
        self._http = http

    @property
    def url(self) -> str:
        return str(self._http.base_url).rstrip("/")

    def every(
        self, listing: Callable[Params, Coroutine[Any, Any, Page[Item]]], *args: Params.args, **kwargs: Params.kwargs
    ) -> AsyncIterator[Item]:
        """What a method lists, over all pages; each is asked for when it is needed."""
        return sending.every(listing, *args, **kwargs)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def connect(url: str | None = None, token: str | None = None, *, patience: float = PATIENCE) -> ApiClient:
    """A client of the API.

    Args:
        url: such as http://127.0.0.1:8000, which is the default where DENSITYLAB_API_URL is not set.
        token: unless given, DENSITYLAB_API_TOKEN.
        patience: seconds for which safe requests are tried again (`frontend.client.sending.Sender`).

    Raises:
        ApiError: the address is none.
    """
    return ApiClient(httpx.Client(**_options(url, token)), patience)


def connect_async(url: str | None = None, token: str | None = None, *, patience: float = PATIENCE) -> AsyncApiClient:
    """The same, to be awaited: `async with connect_async() as client`."""
    return AsyncApiClient(httpx.AsyncClient(**_options(url, token)), patience)


def _options(url: str | None, token: str | None) -> dict[str, Any]:
    url = url or os.environ.get("DENSITYLAB_API_URL") or DEFAULT_URL
    token = token or os.environ.get("DENSITYLAB_API_TOKEN")
    if not url.startswith(("http://", "https://")):
        raise ApiError(0, f"The API's address is {url!r}; expected one that begins with http:// or https://.")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return {"base_url": url, "headers": headers, "timeout": httpx.Timeout(30, connect=3)}
