"""Parameters of catalog entries: their types, bounds and defaults, and the check of a value."""

import math
from dataclasses import dataclass
from typing import Any, Literal

ParamType = Literal["int", "float", "bool", "str", "floats", "component", "run", "attributes"]
MAX_CROSSED = 8  # attributes that one parameter can name


@dataclass(frozen=True, kw_only=True)
class Param:
    """One parameter of a component: validates a request and draws a control."""

    name: str
    type: ParamType
    default: Any
    label: str = ""
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    choices: tuple[str | int, ...] = ()
    numbers_from: float | None = None  # of type "str": texts of numbers from this on are allowed besides the choices
    optional: bool = False  # null is a value of its own; the help says what it means
    kind: str | None = None  # of type "component": the kind whose {key, params} it takes
    resized_by: str | None = None  # of kind "dataset": the parameter without which its images must have the run's size
    # "trainer": read by the training loop (lazy application), so not a keyword of the component's callable
    used_by: Literal["component", "trainer"] = "component"
    first_weights: bool = False  # of a model: chooses the weights to begin with and nothing else
    # Of a regularizer: λ of different values are not comparable. "exponent": the penalty is a norm to this power
    rescales: Literal["size", "exponent"] | None = None

    def check(self, value: Any) -> tuple[Any, str | None]:
        """(value in its declared type, None), or (value, what was expected and what came)."""
        if value is None:
            return (None, None) if self.optional else (value, f"expected {self.expectation()}, got null")
        if self.type == "floats":
            if not isinstance(value, list) or not 1 <= len(value) <= 32:
                return value, f"expected a list of 1 to 32 numbers, got {_show(value)}"
            checked = [self._number(item) for item in value]
            wrong = next((message for _, message in checked if message), None)
            return ([number for number, _ in checked], None) if wrong is None else (value, wrong)
        if self.type == "attributes":
            names = value if isinstance(value, list) else []
            fits = 1 <= len(names) <= MAX_CROSSED and all(isinstance(name, str) and name for name in names)
            fits = fits and len(set(names)) == len(names)
            return value, None if fits else f"expected {self.expectation()}, got {_show(value)}"
        if self.type in ("int", "float", "run"):
            number, message = self._number(value)
            if message is None and self.choices and number not in self.choices:
                message = f"expected {self.expectation()}, got {_show(value)}"
            return number, message
        if self.numbers_from is not None and value not in self.choices:
            number = _as_number(value)
            if number is not None and number >= self.numbers_from:
                return f"{number:.12g}", None
        expected_type = {"bool": bool, "str": str}[self.type]
        refused = not isinstance(value, expected_type) or bool(self.choices and value not in self.choices)
        if isinstance(value, str) and not self.choices:
            refused = refused or not 1 <= len(value) <= 200 or not value.isprintable()
        return value, f"expected {self.expectation()}, got {_show(value)}" if refused else None

    def _number(self, value: Any) -> tuple[Any, str | None]:
        if self._admits(value):
            return int(value) if self.type in ("int", "run") else float(value), None
        return value, f"expected {self.expectation()}, got {_show(value)}"

    def _admits(self, value: Any) -> bool:
        """Return whether the value is a number of this type within the bounds."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if abs(value) > 2**53 or not math.isfinite(value) or (self.type in ("int", "run") and value != int(value)):
            return False
        too_low = self.minimum is not None and (
            value <= self.minimum if self.exclusive_minimum else value < self.minimum
        )
        return not too_low and (self.maximum is None or value <= self.maximum)

    def expectation(self) -> str:
        """Return the accepted values as text, for error messages and help."""
        if self.choices:
            listed = "one of " + ", ".join(repr(choice) for choice in self.choices)
            return listed if self.numbers_from is None else f"{listed}, or a number of at least {self.numbers_from:g}"
        words = {
            "int": "a whole number",
            "float": "a number",
            "floats": "numbers",
            "bool": "true or false",
            "str": "a text of 1 to 200 printable characters",
            "component": f"an object {{key, params}} of kind {self.kind}",
            "run": "the id of a run",
            "attributes": f"a list of 1 to {MAX_CROSSED} different attributes of the data set",
        }[self.type]
        if self.minimum is not None:
            words += f" {'above' if self.exclusive_minimum else 'of at least'} {self.minimum:g}"
        if self.maximum is not None:
            words += f"{' and' if self.minimum is not None else ''} at most {self.maximum:g}"
        return words + (" or null" if self.optional else "")


def _as_number(value: Any) -> float | None:
    """Return a finite number, also from its text; None for anything else."""
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
