"""The tables in which runs are found by a tag or a part of their texts; they follow the columns of the runs.

An index of trigrams (revision 0027) leads to the texts with a part of three or more characters: of FTS5 on SQLite, of
pg_trgm on PostgreSQL if the database has it. Shorter parts are looked for in every text.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, Table, column, delete, insert, select, table
from sqlalchemy.orm import Session

from densitylab.backend.shared.tables import SearchTextRow, TagRow

SEARCHED = frozenset({"name", "notes", "tags"})  # columns of a run that can change and that these tables follow

INDEX = "run_text_index"
_FTS = table(INDEX, column("rowid"), column(INDEX))  # this column stands for all that are indexed
_LENGTH = 3  # characters that the index has together


def matching(query: str, dialect: str) -> Select[tuple[int]]:
    """Return a statement for the ids of the runs whose text contains the query, in any order.

    Args:
        dialect: of the database, "sqlite" or "postgresql".
    """
    statement = select(SearchTextRow.run_id).where(contains(query))
    folded = fold(query)
    trigrams = [folded[start : start + _LENGTH] for start in range(len(folded) - _LENGTH + 1)]
    if dialect != "sqlite" or not trigrams:
        return statement
    # A text with the trigrams may have them in other places. Not an IN, for which SQLite would first find all of them
    every = " AND ".join('"' + trigram.replace('"', '""') + '"' for trigram in trigrams)
    return statement.join(_FTS, _FTS.c.rowid == SearchTextRow.run_id).where(_FTS.c[INDEX].match(every))


def contains(query: str) -> ColumnElement[bool]:
    """Return the condition that a run's text contains the query, in upper or lower case."""
    return SearchTextRow.text.contains(fold(query), autoescape=True)


def add(session: Session, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add new runs, given their columns with the id."""
    tags, texts = [], []
    for row in rows:
        tags += [{"run_id": row["id"], "tag": tag} for tag in dict.fromkeys(row["tags"])]
        texts.append({"run_id": row["id"], "text": _text(row)})
    if tags:
        session.execute(insert(cast(Table, TagRow.__table__)), tags)
    if texts:
        session.execute(insert(cast(Table, SearchTextRow.__table__)), texts)


def replace(session: Session, row: Mapping[str, Any]) -> None:
    """Store the tags and texts of a run that has changed, given its columns."""
    for searched in (TagRow, SearchTextRow):
        session.execute(delete(searched).where(searched.run_id == row["id"]))
    add(session, [row])


def fold(text: str) -> str:
    """Return the text in the form in which texts are stored and compared: without the difference of upper and lower
    case."""
    return text.casefold()


def _text(row: Mapping[str, Any]) -> str:
    tags: Sequence[str] = row["tags"]
    words = (row["name"] or "", row["notes"], *tags, row["dataset"], row["model"], row["regularizer"])
    return fold("\n".join((str(row["id"]), *words)))
