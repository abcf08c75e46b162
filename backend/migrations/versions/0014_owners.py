"""Owners of experiments, runs, tasks, data sets, webhooks and tokens; unique names of tokens; the token's number in the
audit log. Owners of what exists already are taken from the audit log."""

import re

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_OWNED = ("experiments", "runs", "tasks", "registered_datasets", "tokens", "webhooks")
_RESERVED = ("administrator", "local")
# What a POST to a path made, by the Location of its response
_MADE = {
    "experiments": re.compile(r"/api/v1/experiments/(\d+)"),
    "webhooks": re.compile(r"/api/v1/webhooks/(\d+)/deliveries"),
    "tokens": re.compile(r"/api/v1/tokens/(\d+)"),
}

_tokens = sa.table("tokens", sa.column("id", sa.Integer), sa.column("name", sa.String))
_audit = sa.table(
    "audit",
    *(sa.column(name, sa.Integer) for name in ("id", "token")),
    *(sa.column(name, sa.String) for name in ("caller", "method", "path", "location")),
)


def upgrade() -> None:
    for table in _OWNED:
        op.add_column(table, sa.Column("owner", sa.String(length=200), nullable=True))
        op.add_column(table, sa.Column("owner_token", sa.Integer(), nullable=True))
    op.add_column("audit", sa.Column("token", sa.Integer(), nullable=True))
    _number_audit_lines()
    _fill_owners()
    _rename_duplicates()
    op.create_index(op.f("ix_tokens_name"), "tokens", ["name"], unique=True)


def downgrade() -> None:
    op.drop_index(op.f("ix_tokens_name"), "tokens")
    with op.batch_alter_table("audit") as batch:
        batch.drop_column("token")
    for table in reversed(_OWNED):
        with op.batch_alter_table(table) as batch:
            batch.drop_column("owner_token")
            batch.drop_column("owner")


def _number_audit_lines() -> None:
    """Store the number of the caller's token where one token alone has that name."""
    numbers: dict[str, list[int]] = {}
    for row in op.get_bind().execute(sa.select(_tokens)):
        numbers.setdefault(row.name, []).append(row.id)
    for name, ids in numbers.items():
        if len(ids) == 1 and name not in _RESERVED:
            op.execute(_audit.update().where(_audit.c.caller == name).values(token=ids[0]))


def _fill_owners() -> None:
    made: dict[str, dict[int, sa.Row]] = {table: {} for table in _MADE}
    lines = sa.select(_audit).where(_audit.c.method == "POST", _audit.c.location.is_not(None)).order_by(_audit.c.id)
    for line in op.get_bind().execute(lines):
        for table, location in _MADE.items():
            match = location.fullmatch(line.location)
            if match and line.path.partition("?")[0] == f"/api/v1/{table}":
                made[table].setdefault(int(match[1]), line)
    for table, by_id in made.items():
        for made_id, line in by_id.items():
            _own(table, "id", made_id, line)
            if table == "experiments":
                _own("runs", "experiment_id", made_id, line)


def _own(table: str, column: str, value: int, line: sa.Row) -> None:
    target = sa.table(table, sa.column(column), sa.column("owner"), sa.column("owner_token"))
    op.execute(target.update().where(target.c[column] == value).values(owner=line.caller, owner_token=line.token))


def _rename_duplicates() -> None:
    """Give each token a name of its own: the number is added to the name of all but the oldest."""
    taken = set(_RESERVED)
    for row in op.get_bind().execute(sa.select(_tokens).order_by(_tokens.c.id)).all():
        name = row.name
        while name.strip().casefold() in taken:
            name = f"{name[:180]} ({row.id})"
        taken.add(name.strip().casefold())
        if name != row.name:
            op.execute(_tokens.update().where(_tokens.c.id == row.id).values(name=name))
