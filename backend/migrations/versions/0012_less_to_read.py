"""An experiment's runs are found in an index alone, on PostgreSQL too, and what is to be delivered past all that waits
for another task."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_runs_experiment_id_deleting_id", "runs", ["experiment_id", "deleting", "id"])
    op.drop_index("ix_runs_experiment_id_deleting", "runs")
    op.create_index("ix_tasks_status_delivered_after_task", "tasks", ["status", "delivered", "after_task"])
    op.drop_index("ix_tasks_status_delivered", "tasks")


def downgrade() -> None:
    op.create_index("ix_tasks_status_delivered", "tasks", ["status", "delivered"])
    op.drop_index("ix_tasks_status_delivered_after_task", "tasks")
    op.create_index("ix_runs_experiment_id_deleting", "runs", ["experiment_id", "deleting"])
    op.drop_index("ix_runs_experiment_id_deleting_id", "runs")
