"""Listings of 100,000 runs: indexes that end with the order, and tables of the tags and the searched texts of runs."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None
_CHUNK = 500
_ORDERED = {  # name of the index -> columns
    "ix_runs_deleting_id": ["deleting", "id"],
    "ix_runs_deleting_created_at": ["deleting", "created_at", "id"],
    "ix_runs_deleting_lambda_": ["deleting", "lambda_", "id"],
    "ix_runs_deleting_archived_id": ["deleting", "archived", "id"],
    "ix_runs_deleting_archived_created_at": ["deleting", "archived", "created_at", "id"],
    "ix_runs_deleting_archived_lambda_": ["deleting", "archived", "lambda_", "id"],
    "ix_runs_dataset_deleting_archived_id": ["dataset", "deleting", "archived", "id"],
    "ix_runs_model_deleting_archived_id": ["model", "deleting", "archived", "id"],
    "ix_runs_regularizer_deleting_archived_id": ["regularizer", "deleting", "archived", "id"],
    "ix_runs_owner_deleting_archived_id": ["owner", "deleting", "archived", "id"],
    "ix_runs_origin_deleting_archived_id": ["origin", "deleting", "archived", "id"],
    "ix_runs_dataset_model_regularizer": ["dataset", "model", "regularizer", "id"],
}
_REPLACED = ("dataset", "lambda_", "origin", "created_at")


def upgrade() -> None:
    tags = op.create_table(
        "run_tags",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_tags_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "tag", name=op.f("pk_run_tags")),
        sqlite_with_rowid=False,
    )
    texts = op.create_table(
        "run_texts",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_texts_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_run_texts")),
    )
    _fill(tags, texts)
    op.create_index("ix_run_tags_tag", "run_tags", ["tag", "run_id"])
    for name, columns in _ORDERED.items():
        op.create_index(name, "runs", columns)
    for column in _REPLACED:
        op.drop_index(op.f(f"ix_runs_{column}"), "runs")
    op.create_index("ix_tasks_status_run_id", "tasks", ["status", "run_id", "kind"])
    op.create_index("ix_tasks_progress_run_id", "tasks", ["progress", "run_id", "kind"])
    op.drop_index("ix_tasks_status_kind_run_id", "tasks")
    op.create_index("ix_tasks_undelivered", "tasks", ["status", "delivered", "after_task", "priority", "id"])
    op.drop_index("ix_tasks_status_delivered_after_task", "tasks")


def _fill(tags: sa.Table, texts: sa.Table) -> None:
    runs = sa.table("runs", *map(sa.column, ("id", "notes", "tags", "dataset", "model", "regularizer")))
    connection = op.get_bind()
    last = 0
    while rows := connection.execute(
        sa.select(
            runs.c.id,
            runs.c.notes,
            sa.cast(runs.c.tags, sa.Text).label("tags"),
            runs.c.dataset,
            runs.c.model,
            runs.c.regularizer,
        )
        .where(runs.c.id > last)
        .order_by(runs.c.id)
        .limit(_CHUNK)
    ).all():
        last = rows[-1].id
        of_runs = {row.id: list(dict.fromkeys(json.loads(row.tags))) for row in rows}
        found = [{"run_id": number, "tag": tag} for number, own in of_runs.items() for tag in own]
        if found:
            connection.execute(tags.insert(), found)
        connection.execute(
            texts.insert(),
            [
                {
                    "run_id": row.id,
                    "text": "\n".join(
                        (str(row.id), row.notes, *of_runs[row.id], row.dataset, row.model, row.regularizer)
                    ).casefold(),
                }
                for row in rows
            ],
        )


def downgrade() -> None:
    op.create_index("ix_tasks_status_delivered_after_task", "tasks", ["status", "delivered", "after_task"])
    op.drop_index("ix_tasks_undelivered", "tasks")
    op.create_index("ix_tasks_status_kind_run_id", "tasks", ["status", "kind", "run_id"])
    op.drop_index("ix_tasks_progress_run_id", "tasks")
    op.drop_index("ix_tasks_status_run_id", "tasks")
    for column in _REPLACED:
        op.create_index(op.f(f"ix_runs_{column}"), "runs", [column])
    for name in _ORDERED:
        op.drop_index(name, "runs")
    op.drop_table("run_texts")
    op.drop_index("ix_run_tags_tag", "run_tags")
    op.drop_table("run_tags")
