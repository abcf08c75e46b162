"""Requests and typed answers. Safe requests are repeated after transient errors."""

import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import IO, Any, Generic, ParamSpec, Protocol, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_json
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_before_delay,
    wait_exponential,
    wait_random,
)

from densitylab.frontend.client.connection import Connection
from densitylab.frontend.client.errors import ApiError, error_of
from densitylab.frontend.client.kept_answers import KeptAnswers

Answer = TypeVar("Answer")
Item = TypeVar("Item", covariant=True)
Params = ParamSpec("Params")
Query = Mapping[str, Any]
Body = BaseModel | Mapping[str, Any]
PATIENCE = 5.0  # seconds
_NOT_MODIFIED = 304
_BACKOFF = wait_exponential(multiplier=0.2, max=8.0) + wait_random(0, 0.2)
# Making one takes longer than reading most answers
_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


@dataclass(frozen=True)
class Listing(Generic[Answer]):
    """One page of a listing; `next_cursor` is None on the last page."""

    items: list[Answer]
    next_cursor: str | None = None
    total: int | None = None  # in the whole listing, if the API counts them


class Page(Protocol[Item]):
    """The interface of all listings."""

    @property
    def items(self) -> Sequence[Item]: ...
    @property
    def next_cursor(self) -> str | None: ...


async def every(
    listing: Callable[Params, Coroutine[Any, Any, Page[Item]]], *args: Params.args, **kwargs: Params.kwargs
) -> AsyncIterator[Item]:
    """Iterate over all pages of a listing. Each page is requested when it is needed."""
    page = await listing(*args, **kwargs)
    while True:
        for item in page.items:
            yield item
        if page.next_cursor is None:
            return
        page = await listing(*args, **{**kwargs, "cursor": page.next_cursor})  # type: ignore[arg-type]


class Sender:
    """Base class of the routes: sends requests and reads answers.

    Requests that change nothing, and those that make something, which have an Idempotency-Key, are repeated during
    `patience` seconds if no answer comes, or 429, 502, 503 or 504: after 0.2 s, 0.4 s, 0.8 s, ... with jitter, and not
    before the time of Retry-After. A longer Retry-After ends the attempts.

    A 503 with Retry-After, such as that of a locked database, says that nothing was done. Then every request is
    repeated, and the pauses may take 5 seconds where `patience` is shorter, unless it is 0.

    The last `kept_answers` listings are kept and read anew only if they have changed; their items are then the same
    objects as before.
    """

    def __init__(self, connection: Connection, patience: float = PATIENCE, kept_answers: int = 0) -> None:
        self._connection = connection
        self.patience = patience
        self._kept = KeptAnswers(kept_answers)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Body | None = None,
        content: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Sequence[int] = (),
        files: Mapping[str, tuple[str, IO[bytes]]] | None = None,
        form: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> httpx.Response:
        """Return the answer, which is a success or has a status in `accept`. Raises ApiError."""
        headers = dict(headers or {})
        if content is not None:
            headers["Content-Type"] = "application/octet-stream"
        if body is not None:
            # A patch contains only the changed fields
            content = (
                body.model_dump_json(exclude_unset=method == "PATCH", fallback=_plain)
                if isinstance(body, BaseModel)
                else to_json(body, inf_nan_mode="constants", fallback=_plain)
            )
            headers["Content-Type"] = "application/json"
        present = {name: _query_value(value) for name, value in (query or {}).items() if value is not None}

        async def once() -> httpx.Response:
            request = self._connection.http.build_request(
                method, path, params=present, content=content, headers=headers, files=files, data=form
            )
            try:
                answer = await self._connection.send(request, stream=stream)
            except httpx.TransportError as error:
                raise self._no_answer(error) from None
            if answer.is_success or answer.status_code in accept:
                return answer
            raise error_of(answer)

        repeatable = method == "GET" or "Idempotency-Key" in headers
        trying = AsyncRetrying(
            sleep=self._connection.sleep,
            retry=retry_if_exception(_transient if repeatable else _postponed),
            wait=_pause,
            stop=self._is_over,
            reraise=True,
        )
        return await trying(once)

    def _is_over(self, state: RetryCallState) -> bool:
        """Return whether the attempts end before the next pause."""
        error = state.outcome.exception() if state.outcome else None
        if error is not None and _postponed(error) and self.patience > 0:
            # The pauses alone: a locked database answers only after it has waited itself
            return state.idle_for + state.upcoming_sleep >= max(self.patience, PATIENCE)
        return bool(stop_before_delay(self.patience)(state))

    def _no_answer(self, error: httpx.TransportError) -> ApiError:
        where = str(self._connection.http.base_url).rstrip("/")
        if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
            return ApiError(0, f"The API at {where} did not answer in time; try again.")
        return ApiError(
            0,
            f"The API at {where} does not answer. Start the system with `densitylab up`, or set DENSITYLAB_API_URL to "
            "its address.",
        )

    async def _list(self, item: type[Answer], path: str, query: Query | None = None) -> Listing[Answer]:
        request = (item, path, repr(query))
        kept = self._kept.find(request)
        headers = {"If-None-Match": kept.etag} if kept else None
        answer = await self._send("GET", path, query=query, headers=headers, accept=(_NOT_MODIFIED,))
        if kept and answer.status_code == _NOT_MODIFIED:
            listing = kept.listing
        else:
            listing = self._read(Listing[item], answer)  # type: ignore[valid-type]
            if etag := answer.headers.get("ETag"):
                self._kept.keep(request, etag, listing)
        # A list of the caller's own, of the same items
        return replace(listing, items=list(listing.items))

    async def _get(self, kind: type[Answer], path: str, query: Query | None = None) -> Answer:
        return self._read(kind, await self._send("GET", path, query=query))

    async def _post(
        self, kind: type[Answer], path: str, body: Body | None = None, query: Query | None = None
    ) -> Answer:
        return self._read(kind, await self._send("POST", path, body=body, query=query))

    async def _make(
        self,
        kind: type[Answer],
        path: str,
        body: Body | None = None,
        *,
        idempotency_key: str | None = None,
        **sent: Any,
    ) -> Answer:
        """Return the answer to a POST that makes something once, even if it has to be sent again; `sent`: see `_send`.
        By default the Idempotency-Key is a new one."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return self._read(kind, await self._send("POST", path, body=body, headers=headers, **sent))

    async def _patch(self, kind: type[Answer], path: str, body: BaseModel) -> Answer:
        return self._read(kind, await self._send("PATCH", path, body=body))

    async def _delete(self, kind: type[Answer], path: str) -> Answer:
        return self._read(kind, await self._send("DELETE", path))

    def _read(self, kind: type[Answer], answer: httpx.Response) -> Answer:
        try:
            return _adapter(kind).validate_json(answer.content)  # type: ignore[no-any-return]
        except ValidationError as error:
            if error.errors(include_url=False)[0]["type"] == "json_invalid":
                message = f"{answer.request.url} did not answer with JSON: is it the API?"
                raise ApiError(answer.status_code, message) from None
            raise ApiError(
                200,
                f"The API answered in a form that this client does not know ({error.error_count()} fields "
                "differ): they are of different versions.",
            ) from None


def _query_value(value: Any) -> Any:
    """Return times as text, and what has several values as a list, which repeats the parameter."""
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else value


def _plain(value: Any) -> Any:
    """Return numbers and lists in place of NumPy's, which need not be installed here."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(
        f"a value of the type {type(value).__name__} cannot be sent: expected numbers, text, lists and mappings"
    )


def _transient(error: BaseException) -> bool:
    return isinstance(error, ApiError) and error.transient


def _postponed(error: BaseException) -> bool:
    """Return whether the API did nothing and says when to come back."""
    return isinstance(error, ApiError) and error.status == 503 and error.retry_after is not None


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    wanted = error.retry_after if isinstance(error, ApiError) else None
    return max(_BACKOFF(state), wanted or 0.0)
