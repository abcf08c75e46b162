"""The memory of the process that holds a task."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", sa.Column("memory_bytes", sa.BigInteger(), nullable=True))
    op.add_column("tasks", sa.Column("device_memory_bytes", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("tasks") as batch:
        batch.drop_column("device_memory_bytes")
        batch.drop_column("memory_bytes")
