"""Indexes of the common sort keys of runs: λ, the time of the launch, results. An experiment's runs
in an index of their own."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
_CHUNK = 500


def upgrade() -> None:
    op.add_column("runs", sa.Column("lambda_", sa.Double(), nullable=True))
    values = op.create_table(
        "result_values",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_result_values_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "name", name=op.f("pk_result_values")),
        sqlite_with_rowid=False,
    )
    _fill(values)
    op.create_index(op.f("ix_runs_lambda_"), "runs", ["lambda_"])
    op.create_index(op.f("ix_runs_created_at"), "runs", ["created_at"])
    op.create_index("ix_runs_experiment_id_deleting", "runs", ["experiment_id", "deleting"])
    op.drop_index(op.f("ix_runs_experiment_id"), "runs")
    op.create_index("ix_result_values_name_value", "result_values", ["name", "value", "run_id"])


def _fill(values: sa.Table) -> None:
    runs = sa.table(
        "runs",
        sa.column("id", sa.Integer),
        sa.column("spec", sa.JSON),
        sa.column("results", sa.JSON),
        sa.column("lambda_", sa.Double),
    )
    connection = op.get_bind()
    last = 0
    while rows := connection.execute(
        sa.select(runs.c.id, sa.cast(runs.c.spec, sa.Text), sa.cast(runs.c.results, sa.Text))
        .where(runs.c.id > last)
        .order_by(runs.c.id)
        .limit(_CHUNK)
    ).all():
        last = rows[-1].id
        for number, spec, _ in rows:
            connection.execute(runs.update().where(runs.c.id == number).values(lambda_=json.loads(spec).get("lambda_")))
        found = [
            {"run_id": number, "name": name, "value": item["value"]}
            for number, _, results in rows
            for name, item in json.loads(results).items()
            if item.get("value") is not None
        ]
        if found:
            connection.execute(values.insert(), found)


def downgrade() -> None:
    op.create_index(op.f("ix_runs_experiment_id"), "runs", ["experiment_id"])
    op.drop_index("ix_runs_experiment_id_deleting", "runs")
    op.drop_index("ix_result_values_name_value", "result_values")
    op.drop_table("result_values")
    op.drop_index(op.f("ix_runs_created_at"), "runs")
    op.drop_index(op.f("ix_runs_lambda_"), "runs")
    with op.batch_alter_table("runs") as batch:
        batch.drop_column("lambda_")
