"""Read a model file without running code: safetensors, or a checkpoint by PyTorch's restricted unpickler.

A process of its own reads each file first, within limits of time and memory; only a file that it could read is read
in this process.

read(path) -> Content(format, value)        nested dicts with tensors, as the file has them
"""

from __future__ import annotations

import argparse
import json
import pickle
import re
import types
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch.serialization import safe_globals

from densitylab.worker.errors import out_of_memory
from densitylab.worker.importing import own_process
from densitylab.worker.importing.errors import BadModelFile
from densitylab.worker.importing.nested import nested
from densitylab.worker.importing.numpy_scalars import STAND_INS
from densitylab.worker.importing.recognition import SAFETENSORS, recognise

SECONDS = 60  # of processor time; 100,000 tensors take 7 s
_HEADER_BYTES = 100 * 2**20  # most that the safetensors format allows
_ITEM_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
}
# Plain records that training scripts store beside the weights; creating one has no effect
_RECORDS: list[Any] = [argparse.Namespace, types.SimpleNamespace, *STAND_INS]
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


@dataclass(frozen=True)
class Content:
    """Content of a model file."""

    format: str
    value: Any  # nested dicts and lists with tensors


def read(path: Path, *, seconds: int = SECONDS, should_stop: Callable[[], bool] = lambda: False) -> Content:
    """Return the content of a model file; the memory that this takes is bounded by the file's size.

    Args:
        path: of the file.
        seconds: of processor time that reading it may take.
        should_stop: asked while it is read.

    Raises:
        BadModelFile: the file is of another kind, damaged, contains code, or would need far more time or memory than
            its size explains.
        Interrupted: `should_stop()` returned True.
    """
    own_process.succeeds(
        lambda: _content(path),
        seconds=seconds,
        further_bytes=4 * path.stat().st_size + 2**30,
        should_stop=should_stop,
    )
    return _content(path)


def _content(path: Path) -> Content:
    kind = recognise(path)
    value = _read_safetensors(path) if kind == SAFETENSORS else _read_checkpoint(path)
    _check_storage(value, path.stat().st_size)
    return Content(kind, value)


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    _check_header(path)
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:
        if out_of_memory(error):
            raise
        raise BadModelFile(f"The safetensors file can't be read: {_first_line(error)}.") from error


def _check_header(path: Path) -> None:
    """Raise BadModelFile if the header of a safetensors file does not describe the rest of it exactly."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, _HEADER_BYTES):
            raise BadModelFile(
                f"The safetensors header claims {length:,} bytes, and the file has {size:,}: it is damaged or cut off."
            )
        raw = file.read(length)
    try:
        header = json.loads(raw, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise BadModelFile(f"The safetensors header can't be read: {_first_line(error)}.") from error
    if not isinstance(header, dict):
        raise BadModelFile("The safetensors header is not a JSON object.")
    spans = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            shape, (begin, end), dtype = entry["shape"], entry["data_offsets"], entry["dtype"]
            numbers = [*shape, begin, end]
        except (KeyError, TypeError, ValueError):
            raise BadModelFile(f"The safetensors header does not describe the tensor {_shown(name)}.") from None
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise BadModelFile(f"The safetensors header gives {_shown(name)} a size or offset below 0.")
        bits = _ITEM_BITS.get(dtype) if isinstance(dtype, str) else None
        if bits is None:
            raise BadModelFile(f"The tensor {_shown(name)} has the type {_shown(dtype)}, which can't be imported.")
        if prod(shape) * bits != (end - begin) * 8:
            raise BadModelFile(f"The safetensors header gives {_shown(name)} a shape that is not that of its bytes.")
        spans.append((begin, end))
    spans.sort()
    if any(first[1] > second[0] for first, second in pairwise(spans)):
        raise BadModelFile("The safetensors header lets tensors overlap.")
    if spans and spans[-1][1] != size - 8 - length:
        raise BadModelFile("The safetensors header names bytes beyond the file's end, or leaves some out.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        raise ValueError("a name occurs twice")
    return entries


def _read_checkpoint(path: Path) -> Any:
    try:
        with safe_globals(_RECORDS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = _GLOBAL.search(str(error))
        what = f"objects of {named[1]}" if named else "more than tensors and plain values"
        raise BadModelFile(
            f"The checkpoint contains {what}, which could run code while it is read: save its weights alone, by "
            "torch.save(model.state_dict(), path) or as safetensors, and import that file."
        ) from error
    except Exception as error:
        if out_of_memory(error):
            raise BadModelFile(
                "The checkpoint needs far more memory than its size: it can't be read safely."
            ) from error
        raise BadModelFile("The checkpoint is damaged or cut off: download or copy it again.") from error


def _check_storage(value: Any, size: int) -> None:
    """Raise BadModelFile if the tensors claim more numbers than a file of this size has."""
    storages: dict[int, int] = {}
    for tensor in nested(value):
        if not isinstance(tensor, torch.Tensor):
            continue
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise BadModelFile("The checkpoint has sparse tensors, or tensors without values, which can't be imported.")
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        if tensor.numel() * tensor.element_size() > max(storage.nbytes(), 1):
            raise BadModelFile("The checkpoint has a tensor that is larger than its values: it can't be read safely.")
    if sum(storages.values()) > size:
        raise BadModelFile("The tensors of the checkpoint are larger than the file: it can't be read safely.")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")


def _shown(name: Any) -> str:
    return ascii(str(name)[:80])
