"""The synchronous and the asynchronous client."""

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial
from typing import Any, ParamSpec, Self, TypeVar

import httpx

from densitylab.frontend.client import transport
from densitylab.frontend.client.connection import AsyncConnection, SyncConnection
from densitylab.frontend.client.dual_api import SyncClient
from densitylab.frontend.client.errors import ApiError
from densitylab.frontend.client.exporting import ExportRoutes
from densitylab.frontend.client.proxies import is_loopback, proxy_for
from densitylab.frontend.client.resources.access import AccessRoutes
from densitylab.frontend.client.resources.comparisons import ComparisonRoutes
from densitylab.frontend.client.resources.events import EventRoutes
from densitylab.frontend.client.resources.files import FileRoutes
from densitylab.frontend.client.resources.imports import ImportRoutes
from densitylab.frontend.client.resources.logged_runs import LoggedRunRoutes
from densitylab.frontend.client.resources.maps import MapRoutes
from densitylab.frontend.client.resources.model_files import ModelFileRoutes
from densitylab.frontend.client.resources.penalties import PenaltyRoutes
from densitylab.frontend.client.resources.registrations import RegistrationRoutes
from densitylab.frontend.client.resources.studies import StudyRoutes
from densitylab.frontend.client.transport import PATIENCE, Page
from densitylab.frontend.client.waiting import WaitRoutes

DEFAULT_URL = "http://127.0.0.1:8000"
Params = ParamSpec("Params")
Item = TypeVar("Item")
Http = TypeVar("Http", httpx.Client, httpx.AsyncClient)


class Routes(
    ModelFileRoutes,
    RegistrationRoutes,
    ImportRoutes,
    WaitRoutes,
    ExportRoutes,
    LoggedRunRoutes,
    FileRoutes,
    MapRoutes,
    EventRoutes,
    AccessRoutes,
    ComparisonRoutes,
    PenaltyRoutes,
    StudyRoutes,
):
    """One method per route, written once for both clients."""


class ApiClient(SyncClient, Routes):
    """One method per route, and above them `wait`, `events`, `draw`, `download` and `every`.

    Each method raises ApiError if the API refuses or does not answer. Threads may share a client. A pickled client has
    its address and its token, and connects anew in another process.
    """

    def __init__(self, http: httpx.Client, patience: float = PATIENCE, kept_answers: int = 0) -> None:
        self.async_routes = Routes(SyncConnection(http), patience, kept_answers)
        self._http = http

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(connect, patience=self.async_routes.patience), (self.url, _token(self._http))

    @property
    def url(self) -> str:
        return str(self._http.base_url).rstrip("/")

    @property
    def public_url(self) -> str:
        """Return the API's address for readers of commands and reports: DENSITYLAB_PUBLIC_URL, or the client's own."""
        return os.environ.get("DENSITYLAB_PUBLIC_URL", "").rstrip("/") or self.url

    def every(
        self, listing: Callable[Params, Page[Item]], *args: Params.args, **kwargs: Params.kwargs
    ) -> Iterator[Item]:
        """Iterate over all pages of a listing: `for run in client.every(client.runs, status="failed")`.

        Each page is requested when it is needed.
        """
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
    """ApiClient with methods that are awaited; `events` and `every` are iterated with `async for`."""

    def __init__(self, http: httpx.AsyncClient, patience: float = PATIENCE) -> None:
        super().__init__(AsyncConnection(http), patience)
        self._http = http

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(connect_async, patience=self.patience), (self.url, _token(self._http))

    @property
    def url(self) -> str:
        return str(self._http.base_url).rstrip("/")

    def every(
        self, listing: Callable[Params, Coroutine[Any, Any, Page[Item]]], *args: Params.args, **kwargs: Params.kwargs
    ) -> AsyncIterator[Item]:
        """Iterate over all pages of a listing. Each page is requested when it is needed."""
        return transport.every(listing, *args, **kwargs)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def connect(
    url: str | None = None, token: str | None = None, *, patience: float = PATIENCE, kept_answers: int = 0
) -> ApiClient:
    """Return a client of the API.

    Args:
        url: address of the API; default: DENSITYLAB_API_URL, or http://127.0.0.1 with DENSITYLAB_API_PORT or 8000.
        token: default: DENSITYLAB_API_TOKEN.
        patience: seconds during which safe requests are repeated until they succeed (`transport.Sender`).
        kept_answers: listings that are kept, and read anew only if they have changed; do not change their items.

    The environment variables HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are respected, except for an API on this
    machine, which is asked directly.

    Raises:
        ApiError: the address is not valid, or its proxy cannot be used.
    """
    return ApiClient(_opened(httpx.Client, url, token), patience, kept_answers)


def connect_async(url: str | None = None, token: str | None = None, *, patience: float = PATIENCE) -> AsyncApiClient:
    """Return a client whose methods are awaited: `async with connect_async() as client`."""
    return AsyncApiClient(_opened(httpx.AsyncClient, url, token), patience)


def _opened(kind: type[Http], url: str | None, token: str | None) -> Http:
    port = os.environ.get("DENSITYLAB_API_PORT")
    default = f"http://127.0.0.1:{port}" if port else DEFAULT_URL
    url = url or os.environ.get("DENSITYLAB_API_URL") or default
    token = token or os.environ.get("DENSITYLAB_API_TOKEN")
    address = _address(url)
    if address is None:
        raise ApiError(
            0, f"The API's address is {url!r}; expected an address that begins with http:// or https:// and has a host."
        )
    variable, proxy = proxy_for(address) or ("", None)
    if proxy is not None and _address(proxy, "http", "https", "socks5", "socks5h") is None:
        raise ApiError(0, f"{variable} is not the address of a proxy, such as http://proxy.example.org:3128.")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if is_loopback(address.host):  # compression would take longer than it saves
        headers["Accept-Encoding"] = "identity"
    try:
        return kind(
            base_url=address,
            headers=headers,
            timeout=httpx.Timeout(30, connect=3),
            proxy=proxy,
            verify=httpx.create_ssl_context(),
            trust_env=False,  # proxies are chosen above
        )
    except ImportError:
        raise ApiError(
            0,
            f'{variable} is a SOCKS proxy, which needs a package: pip install "httpx[socks]". '
            f"Or name {address.host} in NO_PROXY, to connect without the proxy.",
        ) from None
    except OSError as error:
        raise ApiError(0, f"The certificates in SSL_CERT_FILE or SSL_CERT_DIR cannot be read: {error}.") from None


def _token(http: httpx.Client | httpx.AsyncClient) -> str | None:
    return http.headers.get("Authorization", "").removeprefix("Bearer ") or None


def _address(url: str, *schemes: str) -> httpx.URL | None:
    """Return the parsed address, None if it is not one of these kinds (by default http and https)."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        return None
    valid = address.scheme in (schemes or ("http", "https")) and address.host and (address.port or 0) <= 65535
    return address if valid else None
