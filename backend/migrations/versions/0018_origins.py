"""Origin of the weights of a run."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("origin", sa.String(length=16), server_default="trained", nullable=False))
    op.add_column("runs", sa.Column("source", sa.JSON(), nullable=True))
    op.create_index(op.f("ix_runs_origin"), "runs", ["origin"])


def downgrade() -> None:
    op.drop_index(op.f("ix_runs_origin"), "runs")
    with op.batch_alter_table("runs") as batch:
        batch.drop_column("source")
        batch.drop_column("origin")
