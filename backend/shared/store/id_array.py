"""`column IN (ids)` with the ids as one parameter. Fifty single parameters take SQLAlchemy and the driver longer than
the database needs for the rows, and each count of parameters is another statement to prepare."""

from collections.abc import Sequence
from typing import Any, Self

from sqlalchemy import ARRAY, JSON, BindParameter, Boolean, Integer, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

_LIST: TypeEngine[Any] = JSON().with_variant(ARRAY(Integer), "postgresql")


def id_array(name: str) -> BindParameter[list[int]]:
    """Return a parameter whose value is a list of ids."""
    return bindparam(name, type_=_LIST)


def fixed_ids(ids: Sequence[int]) -> BindParameter[list[int]]:
    """Return a parameter with these ids."""
    return bindparam(None, list(ids), type_=_LIST)


class in_id_array(FunctionElement[bool]):
    """Condition on a column and an `id_array`: the array contains the column's value."""

    type = Boolean()
    inherit_cache = True

    def self_group(self, against: object = None) -> Self:
        """Return itself: SQLAlchemy would compare the condition with 1 on SQLite, which then uses no index."""
        return self


@compiles(in_id_array, "sqlite")
def _sqlite(element: in_id_array, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"


@compiles(in_id_array, "postgresql")
def _postgresql(element: in_id_array, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} = ANY({ids})"
