"""Conditions on runs as text, such as `results.accuracy.accuracy>=0.9`."""

import math
import re
from typing import get_args, get_origin

from pydantic import BaseModel

from densitylab.backend.shared.contracts import CURVE_NAME, RunSpec, did_you_mean, exact_float
from densitylab.backend.shared.errors import InvalidField
from densitylab.backend.shared.store.run_conditions import ORDERINGS, Condition

_FORM = re.compile(r"([\w./@:+-]+) *(>=|<=|!=|==|=|<|>) *([^=<>! ].*)")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NAMES = {
    "results": re.compile(r"[A-Za-z0-9_]+\.[A-Za-z0-9_]+"),
    "metrics": re.compile(CURVE_NAME),
    "spec": re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+){0,9}"),
}
_EXPECTED = {
    "results": "results.EVALUATION.VALUE, such as results.accuracy.accuracy",
    "metrics": "metrics.CURVE, such as metrics.loss",
    "spec": "spec.NAME, such as spec.epochs or spec.regularizer.key",
}


def parse(text: str, pointer: str) -> Condition:
    """Return the condition. Raises InvalidField, with the pointer, for a text that is none."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise InvalidField("expected NAME, one of >= <= > < = != and a value, as in spec.epochs>=10", pointer)
    path, operator, value = match.groups()
    operator = "=" if operator == "==" else operator
    part, _, name = path.partition(".")
    if part not in _NAMES:
        raise InvalidField(
            f"expected a name that begins with results., metrics. or spec.; got {part}" + did_you_mean(part, _NAMES),
            pointer,
        )
    if not _NAMES[part].fullmatch(name):
        raise InvalidField(f"expected {_EXPECTED[part]}; got {path}", pointer)
    number = _number(value, pointer)
    if number is None and (part != "spec" or operator in ORDERINGS):
        raise InvalidField(f"expected a number after {path}{operator}; got {value}", pointer)
    if part == "spec":
        _check_spec(name.split("."), value, pointer)
    return Condition(part, name, operator, value, number)  # type: ignore[arg-type]


def exact(text: str) -> float | str:
    """Return the number, or the text if it is none. Raises ValueError if the number would become 0."""
    return exact_float(text) if _NUMBER.fullmatch(text) else text


def _number(text: str, pointer: str) -> float | None:
    try:
        number = exact(text)
    except ValueError as error:
        raise InvalidField(str(error), pointer) from None
    if isinstance(number, str):
        return None
    if not math.isfinite(number):
        raise InvalidField(f"expected a finite number; got {text}", pointer)
    return number


def _check_spec(
    names: list[str], value: str, pointer: str, model: type[BaseModel] = RunSpec, path: str = "spec"
) -> None:
    """Raise InvalidField unless the model has a single value at this path, or the value is null."""
    name, *below = names
    if name not in model.model_fields:
        raise InvalidField(f"{path} has no field {name}" + did_you_mean(name, model.model_fields), pointer)
    annotation, path = model.model_fields[name].annotation, f"{path}.{name}"
    inner = next((item for item in (annotation, *get_args(annotation)) if isinstance(item, type(BaseModel))), None)
    if get_origin(annotation) is dict and below:
        return  # any parameter of a component
    if inner is not None and below:
        return _check_spec(below, value, pointer, inner, path)
    if get_origin(annotation) is list:
        raise InvalidField(f"{path} is a list, which cannot be compared", pointer)
    if below:
        raise InvalidField(f"{path} is one value and has no field {below[0]}", pointer)
    if get_origin(annotation) is dict:
        raise InvalidField(f"expected the name of a parameter, as in {path}.NAME", pointer)
    if inner is not None and value != "null":
        raise InvalidField(f"expected a field of {path}, such as {path}.{next(iter(inner.model_fields))}", pointer)
