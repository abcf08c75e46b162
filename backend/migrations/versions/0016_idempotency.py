"""Idempotency-Keys of all requests that make something, not only of experiments."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("idempotency", sa.Column("made", sa.JSON()))
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    number = "CAST(experiment_id AS TEXT)" if is_sqlite else "to_json(experiment_id)"
    op.execute(f"UPDATE idempotency SET made = {number}")
    with op.batch_alter_table("idempotency") as batch:
        batch.alter_column("made", existing_type=sa.JSON(), nullable=False)
        batch.drop_constraint(op.f("fk_idempotency_experiment_id"), type_="foreignkey")
        batch.drop_column("experiment_id")


def downgrade() -> None:
    op.execute("DELETE FROM idempotency")  # keys that are kept for a day
    with op.batch_alter_table("idempotency") as batch:
        batch.drop_column("made")
        batch.add_column(sa.Column("experiment_id", sa.Integer(), nullable=False))
        batch.create_foreign_key(
            op.f("fk_idempotency_experiment_id"),
            "experiments",
            ["experiment_id"],
            ["id"],
            ondelete="CASCADE",
        )
