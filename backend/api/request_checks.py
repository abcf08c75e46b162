"""The checks of a request before its route runs."""

from fastapi import Request

from densitylab.backend.api.authorization import require_ownership
from densitylab.backend.api.content_type import require_content_type
from densitylab.backend.api.exact_json import require_exact_json


async def check_request(request: Request) -> None:
    """Refuse a body of another format than the route reads, JSON that could be misread, and changes of what belongs to
    others. One dependency: three take FastAPI longer to call than they run.

    Raises:
        UnsupportedMediaType, InvalidField, NotOwner.
    """
    await require_content_type(request)
    await require_exact_json(request)
    await require_ownership(request)
