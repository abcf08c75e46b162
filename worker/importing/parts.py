"""The parts of a model file that have weights, such as its `state_dict` and its `ema`.

parts(value) -> [Part(key, tensors), ...]
chosen(value, key) -> [Part]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch

from densitylab.worker.importing.errors import BadModelFile
from densitylab.worker.importing.nested import nested
from densitylab.worker.storable_text import is_plain, storable

_DEPTH = 4
_MOST_ENTRIES = 1_000_000  # of the dicts in a file
_MOST_PARTS, _MOST_TENSORS = 100, 100_000
_NAME_CHARACTERS = 1000
_OFFERED = 10  # parts in a sentence
_MOST_CLASSES = 100_000
_CLASS_CHARACTERS = 200
# Of several parts that fit equally, the first of these is taken; the averaged weights come after the trained ones
_PREFERRED = ("", "state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "module")
_CLASS_NAMES = ("class_names", "classes", "class_to_idx", "idx_to_class", "id2label", "labels", "names")
_SHOWN_ENTRIES = 20


@dataclass(frozen=True)
class Part:
    """Tensors of one state dict, and the keys that lead to it, joined by dots; empty: the whole file."""

    key: str
    tensors: dict[str, torch.Tensor]


def parts(value: Any) -> list[Part]:
    """Return all state dicts in a file, those of usual names first.

    Raises:
        BadModelFile: there is none, or there are more, or other names, than a model has.
    """
    if isinstance(value, torch.Tensor):
        raise BadModelFile("The file has a single tensor, not the weights of a network.")
    found: list[Part] = []
    for part in _walk(value, (), _DEPTH, count(1)):
        found.append(part)
        if len(found) > _MOST_PARTS or sum(len(part.tensors) for part in found) > _MOST_TENSORS:
            raise BadModelFile(
                f"The file has more than {_MOST_PARTS} state dicts or {_MOST_TENSORS:,} tensors: save the weights of "
                "one network, and import that file."
            )
    found.sort(key=lambda part: _rank(part.key))
    if not found:
        if any(isinstance(item, dict) and "param_groups" in item for item in nested(value)):
            raise BadModelFile(
                "The file has the state of an optimizer alone, and no weights: import the model's checkpoint."
            )
        raise BadModelFile("The file has no weights: no dict in it maps names to tensors.")
    return found


def chosen(value: Any, key: str | None) -> list[Part]:
    """Return the part of that key, or else those names that begin with it; all parts if it is None.

    Raises:
        BadModelFile: there is no such part.
    """
    found = parts(value)
    if key is None:
        return found
    named = [part for part in found if part.key == key]
    if named:
        return named
    within = [
        Part(key, {name: tensor for name, tensor in part.tensors.items() if name.startswith(f"{key}.")})
        for part in found
    ]
    within = [part for part in within if part.tensors]
    if not within:
        offered = ", ".join(part.key[:100] or "(the whole file)" for part in found[:_OFFERED])
        more = f" and {len(found) - _OFFERED} more" if len(found) > _OFFERED else ""
        raise BadModelFile(f"The file has no weights under {key[:100]!r}; it has them under: {offered}{more}.")
    return within[:1]


def class_names(value: Any) -> list[str]:
    """Return the names of the network's outputs, in order, if the file has them under a usual name; else none."""
    for name in _CLASS_NAMES if isinstance(value, dict) else ():
        names = _in_order(value.get(name))
        if len(names) >= 2:
            return names
    return []


def other_entries(value: Any) -> dict[str, str]:
    """Return the plain values beside the weights, such as the epoch and the accuracy, as text."""
    if not isinstance(value, dict):
        return {}
    plain = {
        storable(str(name), 50): storable(str(item), 100)
        for name, item in value.items()
        if isinstance(name, str | int) and isinstance(item, str | int | float)
    }
    return dict(list(plain.items())[:_SHOWN_ENTRIES])


def _in_order(names: Any) -> list[str]:
    if not isinstance(names, dict | list | tuple) or len(names) > _MOST_CLASSES:
        return []
    if isinstance(names, dict):
        numbers = names.values()
        by_name = all(isinstance(number, int) for number in numbers)
        pairs = [(number, name) for name, number in names.items()] if by_name else list(names.items())
        by_index = {_index(number): name for number, name in pairs}
        names = [by_index.get(number) for number in range(len(pairs))]
    if all(isinstance(name, str) for name in names):
        return [storable(name, _CLASS_CHARACTERS) for name in names]
    return []


def _index(number: Any) -> int | None:
    """Return the index of an output, which files have as a number or its digits; None if it is neither."""
    if isinstance(number, str) and number.isascii() and number.isdecimal() and len(number) < 10:
        return int(number)
    return number if isinstance(number, int) and 0 <= number < _MOST_CLASSES else None


def _walk(value: Any, keys: tuple[str, ...], depth: int, entries: Iterator[int]) -> Iterator[Part]:
    if not isinstance(value, dict) or "param_groups" in value:
        return
    named: dict[str, torch.Tensor] = {}
    for name, item in value.items():
        if next(entries) > _MOST_ENTRIES:
            raise BadModelFile(
                f"The file has more than {_MOST_ENTRIES:,} entries, which no network here has: save the weights alone, "
                "by torch.save(model.state_dict(), path), and import that file."
            )
        if isinstance(item, torch.Tensor) and isinstance(name, str):
            named[name] = item.detach()
    if any(tensor.ndim for tensor in named.values()) and all(isinstance(name, str) for name in value):
        for name in (*keys, *named):
            _require_name(name)
        yield Part(".".join(keys), named)
    for name, item in value.items() if depth else ():
        if isinstance(name, str | int):
            yield from _walk(item, (*keys, str(name)), depth - 1, entries)


def _require_name(name: str) -> None:
    if len(name) > _NAME_CHARACTERS:
        raise BadModelFile(
            f"The file has a name of {len(name):,} characters, {storable(name, 40)}: at most {_NAME_CHARACTERS:,} can "
            "be imported."
        )
    if not is_plain(name):
        raise BadModelFile(f"The file has a name with control characters, {name[:100]!a}: it is damaged.")


def _rank(key: str) -> int:
    return _PREFERRED.index(key) if key in _PREFERRED else len(_PREFERRED)
