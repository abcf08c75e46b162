"""One method for both clients: written with `await`, and also callable without.

A coroutine that never has to wait is done the first time it is resumed. So the blocking client sends by a connection
that returns only with the answer, and needs no event loop: it works in a notebook, which has one of its own, too.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

Params = ParamSpec("Params")
Answer = TypeVar("Answer")


class Waits:
    """A client that waits itself: its methods return what those of `awaited` are awaited for."""

    awaited: Any


class both(Generic[Params, Answer]):
    """Decorates an `async def`: a client that `Waits` has it as a plain method."""

    def __init__(self, function: Callable[Concatenate[Any, Params], Coroutine[Any, Any, Answer]]) -> None:
        self._function = function

    @overload
    def __get__(self, client: Waits, owner: type) -> Callable[Params, Answer]: ...
    @overload
    def __get__(self, client: object, owner: type) -> Callable[Params, Coroutine[Any, Any, Answer]]: ...
    def __get__(self, client: object, owner: type) -> Callable[Params, Any]:
        if not isinstance(client, Waits):
            return self._function.__get__(client, owner)
        method = self._function.__get__(client.awaited)

        @wraps(method)
        def waits(*args: Params.args, **kwargs: Params.kwargs) -> Answer:
            return _done(method(*args, **kwargs))

        return waits


class both_iterate(Generic[Params, Answer]):
    """Decorates an `async def` that yields: a client that `Waits` has it as a plain generator."""

    def __init__(self, function: Callable[Concatenate[Any, Params], AsyncIterator[Answer]]) -> None:
        self._function = function

    @overload
    def __get__(self, client: Waits, owner: type) -> Callable[Params, Iterator[Answer]]: ...
    @overload
    def __get__(self, client: object, owner: type) -> Callable[Params, AsyncIterator[Answer]]: ...
    def __get__(self, client: object, owner: type) -> Callable[Params, Any]:
        if not isinstance(client, Waits):
            return self._function.__get__(client, owner)
        method = self._function.__get__(client.awaited)

        @wraps(method)
        def iterates(*args: Params.args, **kwargs: Params.kwargs) -> Iterator[Answer]:
            return _each(method(*args, **kwargs))

        return iterates


def _done(work: Coroutine[Any, Any, Answer]) -> Answer:
    try:
        work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    work.close()
    raise RuntimeError("a method of the blocking client let itself be awaited")


def _each(work: AsyncGenerator[Answer, None]) -> Iterator[Answer]:
    try:
        while True:
            try:
                item = _done(work.__anext__())  # type: ignore[arg-type]
            except StopAsyncIteration:
                return
            yield item
    finally:
        _done(work.aclose())
