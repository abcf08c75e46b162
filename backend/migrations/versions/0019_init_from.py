"""The run whose state or weights a run starts from, for lineages."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("init_from_run", sa.Integer(), nullable=True))
    op.create_index(op.f("ix_runs_init_from_run"), "runs", ["init_from_run"])


def downgrade() -> None:
    op.drop_index(op.f("ix_runs_init_from_run"), "runs")
    with op.batch_alter_table("runs") as batch:
        batch.drop_column("init_from_run")
