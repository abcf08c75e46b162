"""Users' own images as data sets, groups counted, removals that can be finished."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "registered_datasets",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=100), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_registered_datasets")),
    )
    op.add_column("datasets", sa.Column("group_counts", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("datasets", sa.Column("removing", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    with op.batch_alter_table("datasets") as batch:
        batch.drop_column("removing")
        batch.drop_column("group_counts")
    op.drop_table("registered_datasets")
