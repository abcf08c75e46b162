"""Indexes of texts by trigrams, every three characters that follow each other; revision 0027 makes them.

A text with a word has all trigrams of the word, perhaps in other places: the index leads to texts that are then read.
On PostgreSQL it is one of pg_trgm, if the database has that, and the planner finds it by itself. On SQLite it is a
table of FTS5, which a statement has to name.
"""

from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import ColumnElement, TableClause, Text, column, table
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

_LENGTH = 3


def _index(name: str) -> TableClause:
    return table(name, column("rowid"), column(name))  # which stands for all columns of texts


RUNS = _index("run_text_index")
EXPERIMENTS = _index("experiment_text_index")


def serves(word: str, dialect: str) -> bool:
    """Return whether an index finds the word, a part of a text. It has at least three characters; on PostgreSQL three
    letters or digits follow each other: pg_trgm has no others.

    Args:
        dialect: of the database, "sqlite" or "postgresql".
    """
    return any(dialect == "sqlite" or all(map(_is_alphanumeric, trigram)) for trigram in _trigrams(word))


def has_trigrams(index: TableClause, words: Collection[str]) -> ColumnElement[bool]:
    """Return the condition on an index of SQLite, to be joined by its `rowid`, that a text has trigrams which cover
    one of the words, each of at least three characters."""
    return index.c[index.name].match(" OR ".join(f"({_every(word)})" for word in words))


class unindexed(FunctionElement[str]):
    """The given text, read without its index: of a word without trigrams PostgreSQL would read the whole index."""

    type = Text()
    inherit_cache = True


@compiles(unindexed, "sqlite")
def _sqlite(element: unindexed, compiler: SQLCompiler, **options: Any) -> str:
    (text,) = element.clauses
    return compiler.process(text, **options)


@compiles(unindexed, "postgresql")
def _postgresql(element: unindexed, compiler: SQLCompiler, **options: Any) -> str:
    (text,) = element.clauses
    return f"({compiler.process(text, **options)} || '')"


def is_part(name: str | None) -> bool:
    """Return whether an index, or a table of SQLite, with this name is such an index or keeps its content."""
    return name is not None and name.startswith((RUNS.name, EXPERIMENTS.name))


def _every(word: str) -> str:
    # Overlapping ones would leave out few more texts, and a common word would take longer
    covering = {word[start : start + _LENGTH] for start in range(0, len(word) - _LENGTH, _LENGTH)} | {word[-_LENGTH:]}
    return " AND ".join('"' + trigram.replace('"', '""') + '"' for trigram in sorted(covering))


def _trigrams(word: str) -> Iterator[str]:
    return (word[start : start + _LENGTH] for start in range(len(word) - _LENGTH + 1))


def _is_alphanumeric(character: str) -> bool:
    return character.isalpha() or character.isdecimal()
