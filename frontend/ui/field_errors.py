"""Errors of requests beside the inputs that they are about."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import streamlit as st
from pydantic import ValidationError
from streamlit.delta_generator import DeltaGenerator

from densitylab.backend.shared.contracts import FieldError, violations
from densitylab.frontend.analysis.formatting import as_sentence, escaped, readable

_NOT_NAMES = {"spec", "params", "sweep", "query", "path", "request", "header", "key"}
_NAMES = {"q": "search", "lambda_": "λ", "lambdas": "λ"}


@dataclass
class _Place:
    """A place below an input, for lines about it."""

    pointers: Sequence[str]
    empty: DeltaGenerator
    lines: list[str] = field(default_factory=list)
    anchor: str = ""  # set with the first line
    shown: DeltaGenerator | None = None  # the lines

    def write(self, pointer: str, line: str) -> str:
        """Add a line, once; return the anchor, which the first line's pointer names."""
        if self.shown is None:
            self.anchor = anchor_of(pointer)
            self.shown = self.empty.container(key=self.anchor).empty()
        if line not in self.lines:
            self.lines.append(line)
            self.shown.markdown("  \n".join(self.lines))
        return self.anchor


class FieldErrors:
    """The errors of a form, each shown once, beside its field.

    Args:
        errors: known before the form is drawn, such as those of the last launch.
    """

    def __init__(self, errors: Sequence[FieldError] = ()) -> None:
        self.errors = list(errors)
        self._shown: set[tuple[str, str]] = set()  # pointers and details
        self._places: list[_Place] = []
        self._anchors: dict[str, str] = {}  # by the pointer of the error that is shown there

    def show(self, *pointers: str) -> None:
        """Reserve a place below the input for the errors at or below these JSON pointers, of now and of later."""
        self._places.append(_Place(pointers, st.empty()))
        self._fill()

    def add(self, errors: Sequence[FieldError]) -> None:
        """Show further errors, each in the place of its field."""
        self.errors += errors
        self._fill()

    @property
    def left(self) -> list[FieldError]:
        """The errors that no field has shown."""
        return [error for error in self.errors if (error.pointer, error.detail) not in self._shown]

    def refuse(self, pointer: str, detail: str) -> None:
        """Show an error of the page beside the field with this pointer."""
        self.add([FieldError(pointer=pointer, detail=detail)])

    @contextmanager
    def of_contract(self, at: str = "") -> Iterator[None]:
        """Take the errors of a part of the request, which lies at this pointer, and continue after the block."""
        try:
            yield
        except ValidationError as error:
            self.add(violations(error, at))

    def warn(self, pointer: str, text: str) -> str | None:
        """Show a warning beside its field; return the anchor of the place, None where no field takes it."""
        nearest = self._nearest(pointer)
        return None if nearest is None else nearest[1].write(nearest[0], f":orange[:material/warning: {escaped(text)}]")

    def anchor(self, error: FieldError) -> str | None:
        """Return the anchor of the place that shows the error; None where no field has shown it."""
        return self._anchors.get(error.pointer)

    def _fill(self) -> None:
        """Show each error that is left in the place whose pointer is closest to its field."""
        for error in self.left:
            if (nearest := self._nearest(error.pointer)) is not None:
                self._shown.add((error.pointer, error.detail))
                own, place = nearest
                self._anchors[error.pointer] = place.write(own, _problem_text(error.detail))

    def _nearest(self, pointer: str) -> tuple[str, _Place] | None:
        """Return the pointer and the place of the field that is closest to the pointer."""
        near = [
            (own, place)
            for place in self._places
            for own in place.pointers
            if pointer == own or pointer.startswith(own + "/")
        ]
        return max(near, key=lambda item: len(item[0])) if near else None


def anchor_of(pointer: str) -> str:
    """Return the key of the place beside the field with this JSON pointer, which is part of its class in the page."""
    return "field" + re.sub(r"[^A-Za-z0-9_]+", "-", pointer)


def problem(text: str) -> None:
    """Show an error of the field above."""
    st.markdown(_problem_text(text))


def named(error: FieldError) -> str:
    """Return the error with the name of its field, for a place that is not beside the field."""
    parts = [part for part in error.pointer.split("/") if part and not part.isdecimal() and part not in _NOT_NAMES]
    name = " ".join(_NAMES.get(part, readable(part)) for part in parts)
    if name.startswith("λ"):
        return f"λ{as_sentence(f'{name}: {error.detail}')[1:]}"  # Λ is another symbol
    return as_sentence(f"{name}: {error.detail}" if name else error.detail)


def _problem_text(text: str) -> str:
    return f":red[:material/error: {escaped(as_sentence(text))}]"
