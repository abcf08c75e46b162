"""Values that a training loop logs: names, steps, numbers and settings, checked where they are given."""

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from densitylab.backend.shared.contracts import CURVE_NAME

# As the API has them
_LONGEST_NAME, _LARGEST_STEP, _LONGEST_PARAM, _LONGEST_TEXT = 64, 2**31 - 1, 100, 2000
_NAME = re.compile(CURVE_NAME)


def component(part: str | Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return a component of a request: a key alone has no params."""
    return {"key": part} if isinstance(part, str) else part


def settings(params: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the settings by dotted path, as numbers, text and None."""
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from settings(value, f"{path}{name}.")
        else:
            value = value.item() if getattr(value, "size", None) == 1 and hasattr(value, "item") else value  # NumPy's
            plain = value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
            yield f"{path}{name}"[:_LONGEST_PARAM], value if plain else str(value)[:_LONGEST_TEXT]


def curve_name(name: str) -> str:
    """Return the name, in NFC as the API stores it. Raises ValueError."""
    name = unicodedata.normalize("NFC", name) if isinstance(name, str) else name
    if not isinstance(name, str) or len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name of a curve: expected at most {_LONGEST_NAME} letters, digits and _ . / @ : + -, and "
            "a letter, a digit or _ first"
        )
    return name


def whole_step(step: Any) -> int:
    """Return the step. Raises ValueError, TypeError."""
    number = finite_number("step", step)
    if number is None or number != int(number) or not 0 <= number <= _LARGEST_STEP:
        raise ValueError(f"step is {step!r}: expected a whole number from 0 to {_LARGEST_STEP}")
    return int(number)


def positive_epoch(epoch: Any) -> float:
    """Return the epoch. Raises ValueError, TypeError."""
    number = finite_number("epoch", epoch)
    if number is None or number < 0:
        raise ValueError(f"epoch is {epoch!r}: expected a number of at least 0")
    return number


def finite_number(name: str, value: Any) -> float | None:
    """Return the number, also of a tensor or an array with one element, even if it has gradients; None if it is not
    finite."""
    try:
        number = float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} is a {type(value).__name__}: expected one number") from None
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
