"""What a page of experiments sums up is in indexes alone, on PostgreSQL too: the ids of an experiment's runs, and of
the tasks the trainings in one piece. What is to be delivered is found past all that waits for another task."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
_SUMMED = ["status", "progress", "eta_seconds", "started_at", "finished_at"]


def upgrade() -> None:
    op.create_index("ix_runs_experiment_id_deleting_id", "runs", ["experiment_id", "deleting", "id"])
    op.drop_index("ix_runs_experiment_id_deleting", "runs")
    op.create_index("ix_tasks_kind_run_id_summed", "tasks", ["kind", "run_id", *_SUMMED])
    op.create_index(op.f("ix_tasks_run_id"), "tasks", ["run_id"])
    op.drop_index("ix_tasks_run_id_summed", "tasks")
    op.create_index("ix_tasks_status_delivered_after_task", "tasks", ["status", "delivered", "after_task"])
    op.drop_index("ix_tasks_status_delivered", "tasks")


def downgrade() -> None:
    op.create_index("ix_tasks_status_delivered", "tasks", ["status", "delivered"])
    op.drop_index("ix_tasks_status_delivered_after_task", "tasks")
    op.create_index("ix_tasks_run_id_summed", "tasks", ["run_id", "kind", *_SUMMED])
    op.drop_index(op.f("ix_tasks_run_id"), "tasks")
    op.drop_index("ix_tasks_kind_run_id_summed", "tasks")
    op.create_index("ix_runs_experiment_id_deleting", "runs", ["experiment_id", "deleting"])
    op.drop_index("ix_runs_experiment_id_deleting_id", "runs")
