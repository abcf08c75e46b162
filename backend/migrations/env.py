"""Alembic's entry: runs the revisions on the connection that `densitylab.backend.ops.migrate` hands over."""

from alembic import context

from densitylab.backend.shared.store import instance, totals
from densitylab.backend.shared.tables import Base

connection = context.config.attributes["connection"]
# SQLite cannot alter a column: a batch copies the table instead
context.configure(
    connection,
    target_metadata=[Base.metadata, instance.TABLE.metadata, totals.TABLE.metadata],
    include_name=context.config.attributes["is_declared"],
    compare_type=True,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
