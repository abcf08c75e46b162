"""Indexes of the texts of runs and experiments by trigrams: every three characters that follow each other."""

import logging

from alembic import op
from sqlalchemy.exc import DBAPIError

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None
_log = logging.getLogger(__name__)
# Index -> (table, its number, its texts, whether they differ in upper and lower case)
_INDEXES = {
    "run_text_index": ("run_texts", "run_id", ("text",), False),
    "experiment_text_index": ("experiments", "id", ("name", "notes", "tags"), True),
}
_POSTGRESQL = (
    "CREATE EXTENSION pg_trgm",
    "CREATE INDEX run_text_index ON run_texts USING gin (text gin_trgm_ops)",
    "CREATE INDEX experiment_text_index ON experiments USING gin "
    "(name gin_trgm_ops, notes gin_trgm_ops, CAST(tags AS text) gin_trgm_ops)",
)
# The database's user may not create the extension; the server, or the search path, does not have it
_UNAVAILABLE = ("42501", "58P01", "0A000", "42704")


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name, (table, number, texts, mixed) in _INDEXES.items():
            _add_to_sqlite(name, table, number, texts, mixed)
        return
    extension, *indexes = _POSTGRESQL
    try:
        with op.get_bind().begin_nested():
            op.execute(extension.replace("EXTENSION", "EXTENSION IF NOT EXISTS"))
            for statement in indexes:
                op.execute(statement)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in _UNAVAILABLE:
            raise
        _log.warning(
            "Without an index, a search for a word reads the texts of all runs: %s. As a superuser of this database, "
            "execute\n%s;",
            str(error.orig).strip().splitlines()[0],
            ";\n".join(_POSTGRESQL),
        )


def _add_to_sqlite(name: str, table: str, number: str, texts: tuple[str, ...], mixed: bool) -> None:
    columns = ", ".join(texts)
    # Without the texts themselves and without positions: whoever searches reads the texts that have the trigrams
    op.execute(
        f"CREATE VIRTUAL TABLE {name} USING fts5({columns}, content='{table}', content_rowid='{number}', "
        f"tokenize='trigram case_sensitive {int(not mixed)}', detail='none', columnsize=0)"
    )
    op.execute(f"INSERT INTO {name} ({name}) VALUES ('rebuild')")
    new, old = (", ".join(f"{row}.{column}" for column in (number, *texts)) for row in ("NEW", "OLD"))
    add = f"INSERT INTO {name} (rowid, {columns}) VALUES ({new});"
    remove = f"INSERT INTO {name} ({name}, rowid, {columns}) VALUES ('delete', {old});"
    for event, statements in (
        ("INSERT", add),
        (f"UPDATE OF {number}, {columns}", f"{remove} {add}"),
        ("DELETE", remove),
    ):
        op.execute(f"CREATE TRIGGER {_trigger(table, event)} AFTER {event} ON {table} BEGIN {statements} END")


def _trigger(table: str, event: str) -> str:
    return f"{table}_{event.split()[0].lower()}_indexed"


def downgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for name, (table, *_) in _INDEXES.items():
        if not sqlite:
            op.drop_index(name, table, if_exists=True)  # others may use the extension
            continue
        for event in ("INSERT", "UPDATE", "DELETE"):
            op.execute(f"DROP TRIGGER {_trigger(table, event)}")
        op.execute(f"DROP TABLE {name}")
