"""The tables in which runs are found by a tag or a part of their texts; they follow the columns of the runs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, Select, Table, delete, insert, select
from sqlalchemy.orm import Session

from densitylab.backend.shared.store import word_index
from densitylab.backend.shared.tables import RunRow, SearchTextRow, TagRow

SEARCHED = frozenset({"name", "notes", "tags"})  # columns of a run that can change and that these tables follow


def matching(query: str, dialect: str) -> Select[int]:
    """Return a statement for the ids of the runs whose text contains the query, in any order.

    Args:
        dialect: of the database, "sqlite" or "postgresql".
    """
    folded, index = fold(query), word_index.RUNS
    if not word_index.serves(folded, dialect):
        text = word_index.unindexed(SearchTextRow.text)
        return select(SearchTextRow.run_id).where(text.contains(folded, autoescape=True))
    statement = select(SearchTextRow.run_id).where(SearchTextRow.text.contains(folded, autoescape=True))
    if dialect != "sqlite":
        return statement
    # Not an IN, for which SQLite would first find all that have the trigrams
    return statement.join(index, index.c.rowid == SearchTextRow.run_id).where(word_index.has_trigrams(index, [folded]))


def contains(query: str) -> ColumnElement[bool]:
    """Return the condition on RunRow that its text contains the query, in upper or lower case.

    It reads the text of each run that a listing comes to. Of a join PostgreSQL would expect few matches, and make all
    of them before it sorts them.
    """
    text = select(SearchTextRow.text).where(SearchTextRow.run_id == RunRow.id).scalar_subquery()
    return text.contains(fold(query), autoescape=True)


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
