"""Refusal of JSON that would silently be read as something else."""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from fastapi import Request, params

from densitylab.backend.shared.contracts import exact_float, pointer
from densitylab.backend.shared.errors import InvalidField

_TINY = re.compile(r"[eE]-0*[1-9][0-9]{2}|0\.0{100}")


async def require_exact_json(request: Request) -> None:
    """Check the body where the route reads JSON, as `check` does."""
    field = getattr(request.scope.get("route"), "body_field", None)
    if field is not None and not isinstance(field.field_info, params.Form) and (body := await request.body()):
        check(body)


def check(content: bytes, at: str = "") -> None:
    """Raise InvalidField for what is not JSON, for an object that has a key twice, and for a number that is not 0 and
    would be read as 0, such as 1e-400.

    Args:
        content: JSON.
        at: JSON pointer to it.
    """
    repeated = False

    def read_object(pairs: list[tuple[str, Any]]) -> Any:
        nonlocal repeated
        made = dict(pairs)
        if len(made) == len(pairs):
            return made
        repeated = True
        return _Ambiguous(Counter(name for name, _ in pairs).most_common(1)[0][0])

    def read_float(text: str) -> float:
        try:
            return exact_float(text)
        except ValueError as error:
            raise InvalidField(str(error), at) from None

    try:
        text = content.decode(json.detect_encoding(content), "surrogatepass")
        read = json.loads(text, object_pairs_hook=read_object, parse_float=read_float if _TINY.search(text) else None)
    except ValueError as error:
        raise InvalidField(not_json(error), at) from None
    if repeated:
        path, name = next(_ambiguous(read))
        raise InvalidField(f"the key {json.dumps(name)} comes twice in one object", at + pointer(*path, name))


def not_json(error: ValueError) -> str:
    """Return in a clause why `json.loads` has refused a text."""
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at character {error.pos}"
    if isinstance(error, UnicodeDecodeError):
        return f"not JSON: no {error.encoding.upper()} from byte {error.start} on"
    return f"a whole number has more than {sys.get_int_max_str_digits():,} digits"


class _Ambiguous:
    """An object that has a key twice."""

    def __init__(self, name: str) -> None:
        self.name = name


def _ambiguous(node: Any, *path: int | str) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """Yield the path and the key of each object that has one twice."""
    if isinstance(node, _Ambiguous):
        yield path, node.name
    elif isinstance(node, dict | list):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _ambiguous(child, *path, key)
