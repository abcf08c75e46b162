"""Errors of requests beside the inputs that they are about."""

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from densitylab.backend.shared.contracts import FieldError
from densitylab.frontend.analysis.formatting import as_sentence, escaped, readable

_NOT_NAMES = {"spec", "params", "sweep", "query", "path", "request", "header", "key"}
_NAMES = {"q": "search", "lambda_": "λ", "lambdas": "λ"}


class FieldErrors:
    """The errors of a form, each shown once, beside its field.

    Args:
        errors: known before the form is drawn, such as those of the last launch.
    """

    def __init__(self, errors: Sequence[FieldError] = ()) -> None:
        self.errors = list(errors)
        self._shown: set[str] = set()
        self._places: list[tuple[Sequence[str], DeltaGenerator, list[str]]] = []

    def show(self, *pointers: str) -> None:
        """Reserve a place below the input for the errors at or below these JSON pointers, of now and of later."""
        self._places.append((pointers, st.empty(), []))
        self._fill()

    def add(self, errors: Sequence[FieldError]) -> None:
        """Show further errors, each in the place of its field."""
        self.errors += errors
        self._fill()

    @property
    def left(self) -> list[FieldError]:
        """The errors that no field has shown."""
        return [error for error in self.errors if error.pointer not in self._shown]

    def _fill(self) -> None:
        """Show each error that is left in the place whose pointer is closest to its field."""
        for error in self.left:
            near = [
                (len(pointer), place, lines)
                for pointers, place, lines in self._places
                for pointer in pointers
                if error.pointer == pointer or error.pointer.startswith(pointer + "/")
            ]
            if not near:
                continue
            _, place, lines = max(near, key=lambda item: item[0])
            self._shown.add(error.pointer)
            if (text := _problem_text(error.detail)) not in lines:
                lines.append(text)
            place.markdown("  \n".join(lines))


def problem(text: str) -> None:
    """Show an error of the field above."""
    st.markdown(_problem_text(text))


def named(error: FieldError) -> str:
    """Return the error with the name of its field, for a place that is not beside the field."""
    parts = [part for part in error.pointer.split("/") if part and not part.isdecimal() and part not in _NOT_NAMES]
    name = " ".join(_NAMES.get(part, readable(part)) for part in parts)
    return as_sentence(f"{name}: {error.detail}" if name else error.detail)


def _problem_text(text: str) -> str:
    return f":red[:material/error: {escaped(as_sentence(text))}]"
