"""Index of the runs' texts by trigrams: every three characters that follow each other."""

import logging

from alembic import op
from sqlalchemy.exc import DBAPIError

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None
_log = logging.getLogger(__name__)
_EXTENSION = "CREATE EXTENSION pg_trgm"
_INDEX = "CREATE INDEX run_text_index ON run_texts USING gin (text gin_trgm_ops)"
# The database's user may not create the extension; the server, or the search path, does not have it
_UNAVAILABLE = ("42501", "58P01", "0A000", "42704")
_ADD = "INSERT INTO run_text_index (rowid, text) VALUES (NEW.run_id, NEW.text);"
_REMOVE = "INSERT INTO run_text_index (run_text_index, rowid, text) VALUES ('delete', OLD.run_id, OLD.text);"
_TRIGGERS = {"insert": _ADD, "update": f"{_REMOVE} {_ADD}", "delete": _REMOVE}


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        # Without the text itself and without positions: matches are read in run_texts
        op.execute(
            "CREATE VIRTUAL TABLE run_text_index USING fts5(text, content='run_texts', content_rowid='run_id', "
            "tokenize='trigram case_sensitive 1', detail='none', columnsize=0)"
        )
        op.execute("INSERT INTO run_text_index (run_text_index) VALUES ('rebuild')")
        for event, statements in _TRIGGERS.items():
            op.execute(f"CREATE TRIGGER run_texts_{event}_indexed AFTER {event} ON run_texts BEGIN {statements} END")
        return
    try:
        with op.get_bind().begin_nested():
            op.execute(_EXTENSION.replace("EXTENSION", "EXTENSION IF NOT EXISTS"))
            op.execute(_INDEX)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in _UNAVAILABLE:
            raise
        _log.warning(
            "PostgreSQL has no pg_trgm here (%s): searching runs for a word reads the texts of all. As a superuser of "
            "this database: %s; %s",
            str(error.orig).strip().splitlines()[0],
            _EXTENSION,
            _INDEX,
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for event in _TRIGGERS:
            op.execute(f"DROP TRIGGER run_texts_{event}_indexed")
        op.execute("DROP TABLE run_text_index")
    else:
        op.drop_index("run_text_index", "run_texts", if_exists=True)  # others may use the extension
