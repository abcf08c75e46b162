"""Numbers of tasks and bytes of artifacts, kept by triggers, and an index of the last task of each worker."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None
_TASK, _ARTIFACT = "'tasks:' || {row}.kind || ':' || {row}.status, {sign}1", "'artifact_bytes', {sign}{row}.bytes"
# (table, name and number of a row, columns that change them)
_COUNTED = (("tasks", _TASK, "kind, status"), ("artifacts", _ARTIFACT, "bytes"))


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
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table, counted, columns in _COUNTED:
        gone = f"INSERT INTO totals (name, number) VALUES ({counted.format(row='OLD', sign='-')});"
        come = f"INSERT INTO totals (name, number) VALUES ({counted.format(row='NEW', sign='')});"
        differ = " OR ".join(f"OLD.{column} <> NEW.{column}" for column in columns.split(", "))
        for event, when, changes in (
            ("INSERT", "", come),
            ("DELETE", "", gone),
            (f"UPDATE OF {columns}", f"WHEN ({differ})", f"{gone} {come}"),
        ):
            name = f"{table}_{event.split()[0].lower()}_counted"
            if sqlite:
                op.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW {when} BEGIN {changes} END")
                continue
            op.execute(
                f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {changes} RETURN NULL; END $$"
            )
            op.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW {when} EXECUTE FUNCTION {name}()")
    op.create_index("ix_tasks_worker_started_at", "tasks", ["worker", "started_at"])


def downgrade() -> None:
    op.drop_index("ix_tasks_worker_started_at", "tasks")
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table, _, _ in _COUNTED:
        for event in ("insert", "delete", "update"):
            name = f"{table}_{event}_counted"
            op.execute(f"DROP TRIGGER {name}" if sqlite else f"DROP FUNCTION {name} CASCADE")
    op.drop_table("totals")
