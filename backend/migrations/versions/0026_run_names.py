"""Names of runs."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("name", sa.String(length=100), nullable=True))
    op.create_index("ix_runs_name_deleting_archived_id", "runs", ["name", "deleting", "archived", "id"])


def downgrade() -> None:
    op.drop_index("ix_runs_name_deleting_archived_id", "runs")
    op.drop_column("runs", "name")
