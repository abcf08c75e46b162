"""The events that a webhook is sent, and the format of its bodies."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("webhooks") as batch:
        batch.add_column(
            sa.Column("events", sa.JSON(), nullable=False, server_default='["run.succeeded", "run.failed"]')
        )
        batch.add_column(sa.Column("format", sa.String(length=16), nullable=False, server_default="event"))
    with op.batch_alter_table("webhooks") as batch:
        batch.alter_column("events", server_default=None)
        batch.alter_column("format", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("webhooks") as batch:
        batch.drop_column("format")
        batch.drop_column("events")
