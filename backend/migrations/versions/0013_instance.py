"""The name of this system, for its queues with a broker that it shares with others."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    instance = op.create_table(
        "instance",
        sa.Column("name", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_instance")),
    )
    op.bulk_insert(instance, [{"name": secrets.token_hex(4)}])


def downgrade() -> None:
    op.drop_table("instance")
