"""Sentences for values that a contract refuses, in place of pydantic's own."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from densitylab.backend.shared.suggestion import did_you_mean

Context = Mapping[str, Any]
_SENTENCE = "sentence"  # of the context: the error has been put into words already
_SHOWN = 40  # characters of a refused value
_NUMBER_TYPES = dict.fromkeys(
    ("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "expected a whole number"
) | dict.fromkeys(("float_type", "float_parsing"), "expected a number")
_TYPES = {
    **_NUMBER_TYPES,
    **dict.fromkeys(("bool_type", "bool_parsing"), "expected true or false"),
    **dict.fromkeys(("string_type", "string_sub_type", "string_unicode"), "expected a text"),
    **dict.fromkeys(("list_type", "tuple_type"), "expected a list"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "expected an object with named fields"),
    **dict.fromkeys(
        ("datetime_type", "datetime_parsing", "datetime_from_date_parsing", "datetime_object_invalid"),
        "expected a time such as 2026-01-31T12:00:00Z",
    ),
    "finite_number": "expected a finite number",
}
_BOUNDS: dict[str, Callable[[Context], str]] = {
    "greater_than": lambda context: f"expected a number above {context['gt']:g}",
    "greater_than_equal": lambda context: f"expected a number of at least {_plain(context['ge'])}",
    "less_than": lambda context: f"expected a number below {context['lt']:g}",
    "less_than_equal": lambda context: f"expected a number of at most {_plain(context['le'])}",
}
_LENGTHS: dict[str, Callable[[Context], str]] = {
    "string_too_short": lambda context: f"expected {_count(context['min_length'], 'character')} or more",
    "string_too_long": lambda context: f"expected at most {_count(context['max_length'], 'character')}",
    "too_short": lambda context: (
        f"expected {_count(context['min_length'], 'value')} or more; got {context['actual_length']}"
    ),
    "too_long": lambda context: (
        f"expected {_count(context['max_length'], 'value')} at most; got {context['actual_length'] or 'more'}"
    ),
}
PATTERNS = {
    r"^[a-z-]+$": "expected lower-case letters and -",
    r"^[a-z0-9_]+$": "expected lower-case letters, digits and _",
    r"^[A-Za-z0-9_]+$": "expected letters, digits and _",
    r"^\w[\w./@:+-]*$": "expected letters, digits and _ . / @ : + -, and a letter, a digit or _ first",
    r"^[A-Za-z0-9_.-]+$": "expected letters, digits, _, . and -",
    r"^[A-Za-z0-9_-]+$": "expected the value that another answer gave",
    r"^[^\W_][\w.:-]*$": "a tag has letters, digits, - _ . and :, and begins with a letter or a digit",
    r"^(auto|cpu|cuda(:[0-9]{1,2})?)$": "expected auto, cpu, cuda, or a numbered GPU such as cuda:1",
    r"^https?://[!-~]+$": (
        "expected an address that begins with http:// or https://, of ASCII characters without spaces (a host with "
        "other letters in its form xn--...)"
    ),
    r"^[!-~]+$": "expected printable ASCII characters without spaces",
    r"^-?(id|created_at|status|progress|lambda_|(results|metrics)\.\w[\w./@:+-]*)$": (
        "expected id, created_at, status, progress, lambda_, results.NAME or metrics.NAME, or one of them after a -"
    ),
    r"^[a-z0-9_]{1,64}\.[a-z0-9_]{1,64}$": "expected an evaluation and a value of it, such as accuracy.margin",
    r"^[A-Za-z0-9_]+\.[A-Za-z0-9_]+$": "expected an evaluation and a value of it, such as accuracy.accuracy",
    r"^[A-Za-z0-9][A-Za-z0-9._-]*$": "expected letters, digits, - _ and ., and a letter or a digit first",
    r"^[A-Za-z0-9.+!_-]*$": "expected a version: letters, digits and . + ! _ -",
    r"^[0-9a-f]{64}$": "expected a SHA-256: 64 digits of 0 to 9 and a to f",
    r"^[\w.-]+/[\w.-]+$": "expected a data set of the Hub as owner/name",
    r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$": "expected a dotted path of the spec, such as optimizer.params.lr",
    r"^\S+$": "must not contain spaces",
    r"^[^\x00]*$": "must not contain the NUL character",
}


def sentence(item: Mapping[str, Any], fields: Iterable[str] = ()) -> str:
    """Return what was expected and what came instead.

    Args:
        item: of the errors of pydantic or FastAPI.
        fields: names of the fields beside an unknown one, to suggest one of them.
    """
    kind, context, value = item["type"], item.get("ctx", {}), item.get("input")
    if _SENTENCE in context:
        return str(context[_SENTENCE])
    if kind == "missing":
        return "this field is required"
    if kind == "extra_forbidden":
        return "there is no field of this name" + did_you_mean(str(item["loc"][-1]), fields)
    if kind == "value_error":
        return str(context["error"])
    if kind in _LENGTHS:
        return _LENGTHS[kind](context)
    if kind in ("literal_error", "enum"):
        return _one_of(context["expected"], value)
    if kind == "union_tag_invalid":
        return _one_of(" or ".join(context["expected_tags"].rsplit(", ", 1)), context["tag"])
    if kind == "string_pattern_mismatch":
        form = context["pattern"]
        return PATTERNS.get(form, f"expected a text of the form {form}") + _got(value)
    if kind in _BOUNDS:
        if str(value).strip().lower() in ("nan", "-nan", "+nan"):  # is neither above nor below a bound
            return _TYPES["finite_number"] + _got(value)
        return _BOUNDS[kind](context) + _got(value)
    return _TYPES.get(kind, str(item["msg"]).replace("Input should be", "expected")) + _got(value)


def _one_of(expected: str, value: Any) -> str:
    choices = re.findall(r"'([^']*)'", expected)
    return f"expected {expected}{_got(value)}{did_you_mean(str(value), choices)}"


def in_sentences(error: ValidationError, model: str, fields: Iterable[str]) -> ValidationError:
    """Return the error with sentences as its messages.

    Args:
        error: of a model.
        model: its name.
        fields: names of its fields.
    """
    return ValidationError.from_exception_data(
        model,
        [
            InitErrorDetails(
                type=PydanticCustomError(item["type"], "{sentence}", {_SENTENCE: sentence(item, fields)}),
                loc=item["loc"],
                input=item["input"],
            )
            for item in map(_at_discriminator, error.errors())
        ],
    )


def _at_discriminator(item: Any) -> Any:
    """Return the error; one of the field that tells the alternatives of a union apart is moved to that field."""
    field = item.get("ctx", {}).get("discriminator", "").strip("'")
    if item["type"] == "union_tag_not_found" and field:
        return {**item, "type": "missing", "loc": (*item["loc"], field)}
    if item["type"] == "union_tag_invalid" and field:
        return {**item, "loc": (*item["loc"], field)}
    return item


def _got(value: Any) -> str:
    """Return the refused value, if it is short and no object or list."""
    if isinstance(value, dict | list | tuple) or not isinstance(value, str | int | float | None):
        return ""
    text = json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace").decode()
    return f"; got {text}" if len(text) <= _SHOWN else f"; got {text[:_SHOWN]}..."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _plain(bound: float) -> str:
    """Return all digits of a whole number, and few of another."""
    return str(int(bound)) if float(bound).is_integer() else f"{bound:g}"
