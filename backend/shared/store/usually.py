"""Conditions that nearly all rows meet. SQLite has no statistics: of `deleting IS 0` it would think that ten rows meet
it, and read all of them by its index in place of the few that have a given id."""

from typing import Any, Self

from sqlalchemy import Boolean
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from densitylab.backend.shared.tables import RunRow


class usually(FunctionElement[bool]):
    """The given condition, which nearly all rows meet."""

    type = Boolean()
    inherit_cache = True

    def self_group(self, against: object = None) -> Self:
        """Return itself: SQLAlchemy would compare the condition with 1 on SQLite, which then uses no index."""
        return self


@compiles(usually, "sqlite")
def _sqlite(element: usually, compiler: SQLCompiler, **options: Any) -> str:
    (condition,) = element.clauses
    return f"likely({compiler.process(condition, **options)})"


@compiles(usually, "postgresql")
def _postgresql(element: usually, compiler: SQLCompiler, **options: Any) -> str:
    (condition,) = element.clauses
    return compiler.process(condition, **options)


PRESENT = usually(RunRow.deleting.is_(False))
"""Condition that a run is not being deleted."""
