"""The values in nested dicts and lists of a file, which may contain each other or themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def nested(value: Any) -> Iterator[Any]:
    """Yield a value and all values in its dicts, lists and tuples; each container once, in time linear in their
    sizes."""
    seen: set[int] = set()
    waiting = [iter([value])]
    while waiting:
        for item in waiting[-1]:
            if isinstance(item, dict | list | tuple):
                if id(item) in seen:
                    continue
                seen.add(id(item))
                yield item
                waiting.append(iter(item.values() if isinstance(item, dict) else item))
                break
            yield item
        else:
            waiting.pop()
