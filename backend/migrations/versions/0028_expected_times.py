"""The time that each task was expected to take, and the workers that there were at a launch, for the time left."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", sa.Column("expected_seconds", sa.Double(), nullable=True))
    op.add_column("experiments", sa.Column("workers", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("experiments", "workers")
    op.drop_column("tasks", "expected_seconds")
