"""Numbers and texts of NumPy in a checkpoint, decoded without NumPy, whose types trust what a pickle says of memory.

STAND_INS: for torch.serialization.safe_globals
"""

from __future__ import annotations

import struct
from typing import Any

# Format of the struct module by NumPy's kind and size
_FORMATS = {
    **{"b1": "?", "f2": "e", "f4": "f", "f8": "d"},
    **{"i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q"},
}
_ORDERS = {">": ">", "<": "<", "|": "<", "=": "<"}


class _DType:
    """Stands for numpy.dtype: the kind and size, such as "f8", and the order of bytes; all else is ignored."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.code = code if isinstance(code, str) else ""
        self.order = "<"

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "<"
        self.order = _ORDERS.get(order, "<") if isinstance(order, str) else "<"


def _scalar(dtype: Any, data: Any = b"") -> bool | int | float | str | None:
    """Return the number or text of these bytes; None for any other value, such as a date or a record.

    Raises:
        ValueError: the bytes are not those of such a number.
    """
    if type(dtype) is not _DType:
        return None
    if dtype.code[:1] == "U" and isinstance(data, bytes):
        return data.decode("utf-32-be" if dtype.order == ">" else "utf-32-le", "replace").rstrip("\0")
    number_format = _FORMATS.get(dtype.code)
    if number_format is None:
        return None
    try:
        (number,) = struct.unpack(dtype.order + number_format, data)
    except (struct.error, TypeError) as error:
        raise ValueError("a NumPy number has bytes of another size") from error
    return bool(number) if number_format == "?" else number


STAND_INS: list[Any] = [
    (_DType, "numpy.dtype"),
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
]
