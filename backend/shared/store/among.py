"""`column IN (numbers)` with the numbers as one parameter: fifty parameters take SQLAlchemy and the driver longer than
the database takes for the rows, and each number of them is a statement of its own to prepare."""

from typing import Any, Self

from sqlalchemy import ARRAY, JSON, BindParameter, Boolean, Integer, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

_LIST: TypeEngine[Any] = JSON().with_variant(ARRAY(Integer), "postgresql")


def list_of_ids(name: str) -> BindParameter[list[int]]:
    """The parameter of that name, to be given as a list."""
    return bindparam(name, type_=_LIST)


class among(FunctionElement[bool]):
    """Of a column and a `list_of_ids`: whether the list has the column's value."""

    type = Boolean()
    inherit_cache = True

    def self_group(self, against: object = None) -> Self:
        """Itself: a condition, which SQLAlchemy would compare with 1 on SQLite, where no index then serves it."""
        return self


@compiles(among, "sqlite")
def _sqlite(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"


@compiles(among, "postgresql")
def _postgresql(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} = ANY({ids})"
