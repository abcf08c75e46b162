"""Conditions on a run's results, curves and spec."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, String, and_, case, exists, false, func, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from densitylab.backend.shared.tables import LatestRow, ResultRow, RunRow

NUMBERS: Mapping[str, type[ResultRow] | type[LatestRow]] = {"results": ResultRow, "metrics": LatestRow}
ORDERINGS: Mapping[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
Operator = Literal[">=", "<=", ">", "<", "=", "!="]


@dataclass(frozen=True)
class Condition:
    """A comparison, which a run without the value does not meet.

    Args:
        part: of the run.
        name: of the result or curve, or dotted path into the spec.
        operator: orderings need a number.
        text: the value to compare with; "null" in the spec means no value.
        number: the same as a number, if it is one. Results and curves need it.
    """

    part: Literal["results", "metrics", "spec"]
    name: str
    operator: Operator
    text: str
    number: float | None

    def clause(self) -> ColumnElement[bool]:
        """Return the condition on a RunRow."""
        if self.part == "spec":
            return self._of_spec()
        return exists().where(NUMBERS[self.part].run_id == RunRow.id, *self._of_numbers())

    def matching(self) -> Select[Any] | None:
        """Return a statement for the ids of the runs that meet the condition; None if no index serves it."""
        return None if self.part == "spec" else select(NUMBERS[self.part].run_id).where(*self._of_numbers())

    def _of_numbers(self) -> tuple[ColumnElement[bool], ...]:
        numbers = NUMBERS[self.part]
        compare = ORDERINGS.get(self.operator, operator.eq if self.operator == "=" else operator.ne)
        return numbers.name == self.name, compare(numbers.value, self.number)

    def _of_spec(self) -> ColumnElement[bool]:
        field = RunRow.spec[tuple(self.name.split("."))]
        if self.text == "null":
            return field.as_string().is_(None) if self.operator == "=" else field.as_string().is_not(None)
        kind = json_kind(RunRow.spec, self.name)
        number = case((kind.in_(("integer", "real", "number")), field.as_float()))
        if self.operator in ORDERINGS:
            return ORDERINGS[self.operator](number, self.number)  # type: ignore[no-any-return]
        text = case(
            (kind.in_(("text", "string", "boolean")), field.as_string()),
            (kind.in_(("true", "false")), kind),
        )
        equal = text == self.text if self.number is None else or_(text == self.text, number == self.number)
        return equal if self.operator == "=" else and_(field.as_string().is_not(None), ~func.coalesce(equal, false()))


class json_kind(FunctionElement[str]):
    """The database's name of the type of a JSON column's value at a dotted path; null without one."""

    type = String()
    inherit_cache = True


@compiles(json_kind, "sqlite")
def _sqlite(element: json_kind, compiler: SQLCompiler, **options: Any) -> str:
    column, path = (compiler.process(part, **options) for part in element.clauses)
    return f"json_type({column}, '$.' || {path})"


@compiles(json_kind, "postgresql")
def _postgresql(element: json_kind, compiler: SQLCompiler, **options: Any) -> str:
    column, path = (compiler.process(part, **options) for part in element.clauses)
    return f"json_typeof({column} #> string_to_array({path}, '.'))"
