"""Numbers of tasks and ended runs and bytes of artifacts, kept by triggers, and an index of each worker's last task."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None
_ENDED = "{row}.kind = 'train' AND {row}.status IN ('succeeded', 'failed', 'cancelled')"
# (table, name and number of a row, columns that change them, condition of the rows that count)
_COUNTED = (
    ("tasks", "'tasks:' || {row}.kind || ':' || {row}.status, {sign}1", ("kind", "status"), ""),
    ("artifacts", "'artifact_bytes', {sign}{row}.bytes", ("bytes",), ""),
    ("events", "'ended:' || {row}.status, {sign}1", (), _ENDED),
)


def upgrade() -> None:
    op.create_table(
        "totals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_totals")),
    )
    op.execute(
        "INSERT INTO totals (name, number) "
        "SELECT 'tasks:' || kind || ':' || status, count(*) FROM tasks GROUP BY kind, status"
    )
    op.execute("INSERT INTO totals (name, number) SELECT 'artifact_bytes', coalesce(sum(bytes), 0) FROM artifacts")
    op.execute(
        "INSERT INTO totals (name, number) "
        f"SELECT 'ended:' || status, count(*) FROM events WHERE {_ENDED.format(row='events')} GROUP BY status"
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table, counted, columns, condition in _COUNTED:
        gone = f"INSERT INTO totals (name, number) VALUES ({counted.format(row='OLD', sign='-')});"
        come = f"INSERT INTO totals (name, number) VALUES ({counted.format(row='NEW', sign='')});"
        changes = [("INSERT", condition.format(row="NEW"), come), ("DELETE", condition.format(row="OLD"), gone)]
        if columns:
            differ = " OR ".join(f"OLD.{column} <> NEW.{column}" for column in columns)
            changes.append((f"UPDATE OF {', '.join(columns)}", differ, f"{gone} {come}"))
        for event, which, statements in changes:
            when = f"WHEN ({which})" if which else ""
            name = f"{table}_{event.split()[0].lower()}_counted"
            if sqlite:
                op.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW {when} BEGIN {statements} END")
                continue
            body = f"BEGIN {statements} RETURN NULL; END"
            op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
            op.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW {when} EXECUTE FUNCTION {name}()")
    op.create_index("ix_tasks_worker_started_at", "tasks", ["worker", "started_at"])


def downgrade() -> None:
    op.drop_index("ix_tasks_worker_started_at", "tasks")
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table, _, columns, _ in _COUNTED:
        for event in ("insert", "delete", *(["update"] if columns else [])):
            name = f"{table}_{event}_counted"
            op.execute(f"DROP TRIGGER {name}" if sqlite else f"DROP FUNCTION {name} CASCADE")
    op.drop_table("totals")
