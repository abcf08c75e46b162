"""Tables for pages of many runs: the latest value of each curve where an index reaches it, and indexes of the
tasks that hold what listings ask of them."""

import json
import math

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
_CHUNK = 500
_SUMMED = ["run_id", "kind", "status", "progress", "eta_seconds", "started_at", "finished_at"]


def upgrade() -> None:
    values = op.create_table(
        "latest_values",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_latest_values_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "name", name=op.f("pk_latest_values")),
        sqlite_with_rowid=False,
    )
    _fill(values)
    op.create_index("ix_latest_values_name_value", "latest_values", ["name", "value", "run_id"])
    op.create_index("ix_tasks_run_id_summed", "tasks", _SUMMED)
    op.create_index("ix_tasks_status_kind_run_id", "tasks", ["status", "kind", "run_id"])
    op.drop_index(op.f("ix_tasks_run_id"), "tasks")


def _fill(values: sa.Table) -> None:
    runs = sa.table("runs", sa.column("id", sa.Integer), sa.column("metrics", sa.JSON))
    connection = op.get_bind()
    last = 0
    while rows := connection.execute(
        sa.select(runs.c.id, sa.cast(runs.c.metrics, sa.Text)).where(runs.c.id > last).order_by(runs.c.id).limit(_CHUNK)
    ).all():
        last = rows[-1].id
        found = [
            {"run_id": number, "name": name, "value": value}
            for number, metrics in rows
            for name, value in json.loads(metrics).items()
            if value is not None and math.isfinite(value)
        ]
        if found:
            connection.execute(values.insert(), found)


def downgrade() -> None:
    op.create_index(op.f("ix_tasks_run_id"), "tasks", ["run_id"])
    op.drop_index("ix_tasks_status_kind_run_id", "tasks")
    op.drop_index("ix_tasks_run_id_summed", "tasks")
    op.drop_index("ix_latest_values_name_value", "latest_values")
    op.drop_table("latest_values")
