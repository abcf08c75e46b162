"""Searches of experiments."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("experiments", sa.Column("search", sa.JSON(), nullable=True))
    op.add_column("experiments", sa.Column("search_status", sa.String(length=16), nullable=True))
    op.add_column("experiments", sa.Column("search_reason", sa.Text(), nullable=True))
    op.create_index(op.f("ix_experiments_search_status"), "experiments", ["search_status"])


def downgrade() -> None:
    op.drop_index(op.f("ix_experiments_search_status"), "experiments")
    with op.batch_alter_table("experiments") as batch:
        for name in ("search", "search_status", "search_reason"):
            batch.drop_column(name)
