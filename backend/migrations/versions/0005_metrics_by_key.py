"""SQLite keeps the points of curves in the order of their key: a curve lies together, and is written but once."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _rebuild(with_rowid=False)


def downgrade() -> None:
    _rebuild(with_rowid=True)


def _rebuild(*, with_rowid: bool) -> None:
    """Copies SQLite's table into one that has row numbers, or has none. PostgreSQL has no such choice."""
    if op.get_bind().dialect.name != "sqlite":
        return
    op.create_table(
        "metrics_new",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Double(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "name", "step", name="pk_metrics"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_metrics_run_id", ondelete="CASCADE"),
        sqlite_with_rowid=with_rowid,
    )
    op.execute(
        "INSERT INTO metrics_new SELECT run_id, name, step, epoch, value, seconds FROM metrics"
        " ORDER BY run_id, name, step"
    )
    op.drop_table("metrics")
    op.rename_table("metrics_new", "metrics")
