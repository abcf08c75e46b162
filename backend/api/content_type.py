"""Refusal of bodies in another format than the route reads."""

from email.message import Message

from fastapi import Request, params

from densitylab.backend.shared.errors import DomainError

JSON, FORM = "application/json", "multipart/form-data"


class UnsupportedMediaType(DomainError):
    """A body whose Content-Type is missing, or not the expected one."""

    status = 415

    def __init__(self, expected: str, given: str | None) -> None:
        got = f"got {given}" if given else "the request has none"
        super().__init__(f"expected the Content-Type {expected}; {got}", headers={"Accept": expected})


async def require_content_type(request: Request) -> None:
    """Raise UnsupportedMediaType for a body that is not JSON (`+json` included), or no form where the route reads one.
    A body without a Content-Type is refused too; a request without a body needs none."""
    field = getattr(request.scope.get("route"), "body_field", None)
    if field is None:
        return
    given = request.headers.get("content-type")
    message = Message()
    message["content-type"] = given or "none/none"
    kind = message.get_content_type()
    if isinstance(field.field_info, params.Form):
        if kind != FORM:
            raise UnsupportedMediaType(FORM, given)
        return
    is_json = kind == JSON or (kind.startswith("application/") and kind.endswith("+json"))
    if not is_json and (given is not None or await request.body()):
        raise UnsupportedMediaType(JSON, given)
