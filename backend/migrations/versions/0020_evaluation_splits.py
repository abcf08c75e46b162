"""The split that an evaluation runs on."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("evaluations", sa.Column("split", sa.String(length=16), server_default="test", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("evaluations") as batch:
        batch.drop_column("split")
