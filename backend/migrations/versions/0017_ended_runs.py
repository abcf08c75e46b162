"""The number of trainings that have ended, beyond those whose events are still stored."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ended_runs",
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("status", name=op.f("pk_ended_runs")),
    )
    op.create_index(op.f("ix_events_kind_status"), "events", ["kind", "status"])


def downgrade() -> None:
    op.drop_index(op.f("ix_events_kind_status"), "events")
    op.drop_table("ended_runs")
