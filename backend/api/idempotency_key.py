"""The Idempotency-Key of a request that makes something."""

from typing import Annotated

from fastapi import Depends, Header, Request

from densitylab.backend.api.dependencies import CallerDep
from densitylab.backend.api.single_header import require_single
from densitylab.backend.shared.store.idempotency import Key


async def _key(
    request: Request,
    caller: CallerDep,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            pattern=r"^[!-~]+$",
            min_length=1,
            max_length=200,
            description="the same key and request within a day make nothing more, and the answer is that of the first; "
            "another request gives 409",
        ),
    ] = None,
) -> Key:
    require_single(request, "Idempotency-Key")
    return Key(caller, idempotency_key)


IdempotencyKey = Annotated[Key, Depends(_key)]
