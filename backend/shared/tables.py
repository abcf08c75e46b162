"""The SQL tables. Times are seconds since the epoch (database clock)."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Json = dict[str, Any]

# An id that stood in a link, a job or a file's path must not come to mean something else after a deletion
_NEVER_REUSED = {"sqlite_autoincrement": True}


class Base(DeclarativeBase):
    # Named constraints, so that migrations can refer to them on every database
    metadata = MetaData(naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    })
    type_annotation_map = {Json: JSON, list[str]: JSON, list[Json]: JSON}  # noqa: RUF012


class ExperimentRow(Base):
    """Runs launched together."""

    __tablename__ = "experiments"
    __table_args__ = _NEVER_REUSED
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    notes: Mapped[str] = mapped_column(Text, default="")
    tags: Mapped[list[str]] = mapped_column(default=list)
    archived: Mapped[bool] = mapped_column(Boolean, default=False)
    deleting: Mapped[bool] = mapped_column(Boolean, default=False)
    request: Mapped[Json]  # as posted
    additions: Mapped[list[Json]] = mapped_column(default=list, server_default="[]")  # runs added later, as posted
    created_at: Mapped[float]


class RunRow(Base):
    """One trained model. Its status is that of its train task."""

    __tablename__ = "runs"
    # An experiment's runs are found in the index alone: the rows are wide
    __table_args__ = (Index("ix_runs_experiment_id_deleting_id", "experiment_id", "deleting", "id"), _NEVER_REUSED)
    id: Mapped[int] = mapped_column(primary_key=True)
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id", ondelete="CASCADE"))
    spec_version: Mapped[int]
    spec: Mapped[Json]  # every default resolved
    spec_hash: Mapped[str] = mapped_column(String(16), index=True)
    dataset: Mapped[str] = mapped_column(String(64), index=True)  # copies of the spec's keys, to filter by
    model: Mapped[str] = mapped_column(String(64))
    regularizer: Mapped[str] = mapped_column(String(64))
    lambda_: Mapped[float | None] = mapped_column(index=True)  # and to sort by
    notes: Mapped[str] = mapped_column(Text, default="")
    tags: Mapped[list[str]] = mapped_column(default=list)
    archived: Mapped[bool] = mapped_column(Boolean, default=False)
    deleting: Mapped[bool] = mapped_column(Boolean, default=False)
    metrics: Mapped[Json] = mapped_column(default=dict)  # the latest value of each curve
    results: Mapped[Json] = mapped_column(default=dict)  # "<evaluation name>.<value name>" -> Value
    flags: Mapped[list[Json]] = mapped_column(default=list)
    provenance: Mapped[Json] = mapped_column(default=dict)
    data_hash: Mapped[str | None] = mapped_column(String(64))
    device: Mapped[str | None] = mapped_column(String(200))
    checkpoint_step: Mapped[int | None]
    created_at: Mapped[float] = mapped_column(index=True)


class ResultRow(Base):
    """One number of a run's `results`, so that runs are sorted by it without reading all of theirs."""

    __tablename__ = "result_values"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    value: Mapped[float]
    __table_args__ = (
        Index("ix_result_values_name_value", "name", "value", "run_id"), {"sqlite_with_rowid": False},
    )


class LatestRow(Base):
    """The latest value of one of a run's curves, for the same reason; those that are no numbers are left out."""

    __tablename__ = "latest_values"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[float]
    __table_args__ = (
        Index("ix_latest_values_name_value", "name", "value", "run_id"), {"sqlite_with_rowid": False},
    )


class TaskRow(Base):
    """A piece of work with a lease. The row is the outbox: what is queued and not `delivered` still has to go out."""

    __tablename__ = "tasks"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    after_task: Mapped[int | None] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), index=True)
    payload: Mapped[Json] = mapped_column(default=dict)
    status: Mapped[str] = mapped_column(String(16), default="queued")
    stage: Mapped[str] = mapped_column(String(200), default="")
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    eta_seconds: Mapped[float | None]
    lease_until: Mapped[float | None]
    # Grows with every claim: who holds an older one may not write
    token: Mapped[int] = mapped_column(Integer, default=0)
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    fruitless: Mapped[int] = mapped_column(Integer, default=0)  # attempts since a checkpoint last advanced
    worker: Mapped[str | None] = mapped_column(String(200))
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)  # of the process that holds it, at its highest
    device_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)  # the same of its GPU
    cancel_requested_at: Mapped[float | None]
    error: Mapped[str | None] = mapped_column(Text)
    priority: Mapped[int] = mapped_column(Integer, default=0, server_default="0")  # the highest goes first
    delivery: Mapped[int] = mapped_column(Integer, default=0)  # the broker's job is "{id}-{delivery}"
    delivered: Mapped[bool] = mapped_column(Boolean, default=False)
    delivered_at: Mapped[float | None]
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    __table_args__ = (
        Index("ix_tasks_status_delivered_after_task", "status", "delivered", "after_task"),
        Index("ix_tasks_status_kind_run_id", "status", "kind", "run_id"),
        # With all that experiments sum up, so that the rows of their thousands of tasks are not read
        Index("ix_tasks_run_id_summed", "run_id", "kind", "status", "progress", "eta_seconds", "started_at",
              "finished_at"),
        _NEVER_REUSED,
    )


class MetricRow(Base):
    """One point of one curve. SQLite keeps the rows in the order of the key, so that a curve is read in one piece."""

    __tablename__ = "metrics"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[float]
    value: Mapped[float]
    seconds: Mapped[float]  # of training, pauses not counted


class LogRow(Base):
    """One line of a run's log."""

    __tablename__ = "log_lines"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    at: Mapped[float]
    level: Mapped[str] = mapped_column(String(16))
    text: Mapped[str] = mapped_column(Text)


class ArtifactRow(Base):
    """A stored file of a run. The row is what makes the file count: a file without a row is rubbish."""

    __tablename__ = "artifacts"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    location: Mapped[str] = mapped_column(String(300))  # below the artifact store's root
    bytes: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str] = mapped_column(String(100))
    step: Mapped[int | None]
    created_at: Mapped[float]
    __table_args__ = (UniqueConstraint("run_id", "name"), _NEVER_REUSED)


class EvaluationRow(Base):
    """One measure of one run. Its status is that of its task."""

    __tablename__ = "evaluations"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), unique=True)
    name: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(64))
    params: Mapped[Json]
    values: Mapped[Json] = mapped_column(default=dict)
    curves: Mapped[Json] = mapped_column(default=dict)
    flags: Mapped[list[Json]] = mapped_column(default=list)
    seconds: Mapped[float | None]
    provenance: Mapped[Json] = mapped_column(default=dict)
    created_at: Mapped[float]
    __table_args__ = (UniqueConstraint("run_id", "name"), _NEVER_REUSED)


class AttributionRow(Base):
    """Maps of some images under some runs, cached by content."""

    __tablename__ = "attributions"
    __table_args__ = _NEVER_REUSED
    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), unique=True)
    content_hash: Mapped[str] = mapped_column(String(64), index=True)  # of request, checkpoints and data
    request: Mapped[Json]
    panels: Mapped[list[Json]] = mapped_column(default=list)
    limit: Mapped[float | None]
    data_hash: Mapped[str | None] = mapped_column(String(64))
    location: Mapped[str | None] = mapped_column(String(300))
    bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    seconds: Mapped[float | None]
    created_at: Mapped[float]
    used_at: Mapped[float]


class UploadRow(Base):
    """An image that somebody brought: its pixels in the shape of a data set, and nothing else of its file."""

    __tablename__ = "uploads"
    id: Mapped[int] = mapped_column(primary_key=True)
    dataset: Mapped[str] = mapped_column(String(64))
    content_hash: Mapped[str] = mapped_column(String(64))  # of the pixels
    pixels: Mapped[bytes] = mapped_column(LargeBinary)  # (C, H, W) uint8
    height: Mapped[int]  # before it was fitted
    width: Mapped[int]
    created_at: Mapped[float]
    __table_args__ = (UniqueConstraint("dataset", "content_hash"), _NEVER_REUSED)


class DatasetRow(Base):
    """A prepared data set (key and parameters)."""

    __tablename__ = "datasets"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    params_hash: Mapped[str] = mapped_column(String(16), primary_key=True)
    params: Mapped[Json]
    ready: Mapped[bool] = mapped_column(Boolean, default=False)
    bytes: Mapped[int | None] = mapped_column(BigInteger)
    data_hash: Mapped[str | None] = mapped_column(String(64))
    sizes: Mapped[Json] = mapped_column(default=dict)
    class_counts: Mapped[Json] = mapped_column(default=dict)
    group_counts: Mapped[Json] = mapped_column(default=dict, server_default="{}")
    removing: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    samples_location: Mapped[str | None] = mapped_column(String(300))
    task_id: Mapped[int | None] = mapped_column(ForeignKey("tasks.id", ondelete="SET NULL"))
    prepared_at: Mapped[float | None]


class RegisteredRow(Base):
    """A user's own images as an entry of the catalog; their prepared form is a DatasetRow."""

    __tablename__ = "registered_datasets"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    label: Mapped[str] = mapped_column(String(100))
    summary: Mapped[str] = mapped_column(Text)
    facts: Mapped[Json]  # fields of the entry that were found in the images
    created_at: Mapped[float]


class IdempotencyRow(Base):
    """The first answer to a launch with this key, kept for a day."""

    __tablename__ = "idempotency"
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    body_hash: Mapped[str] = mapped_column(String(64))
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id", ondelete="CASCADE"))
    created_at: Mapped[float]


class TokenRow(Base):
    """A bearer token; the row outlives its revocation, so that the audit's names stay explained."""

    __tablename__ = "tokens"
    __table_args__ = _NEVER_REUSED
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 of the token
    read_only: Mapped[bool]
    created_at: Mapped[float]
    revoked_at: Mapped[float | None]


class AuditRow(Base):
    """One change that was made through the API."""

    __tablename__ = "audit"
    __table_args__ = _NEVER_REUSED
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[float]
    caller: Mapped[str] = mapped_column(String(200))
    method: Mapped[str] = mapped_column(String(10))
    path: Mapped[str] = mapped_column(String(500))
    status: Mapped[int]
    location: Mapped[str | None] = mapped_column(String(500))
    request_id: Mapped[str] = mapped_column(String(64))


class EventRow(Base):
    """A task of a run came to a new status."""

    __tablename__ = "events"
    __table_args__ = _NEVER_REUSED
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    task_id: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(16))
    error: Mapped[str | None] = mapped_column(Text)
    at: Mapped[float]


class WebhookRow(Base):
    """An address that is told of every run that has ended."""

    __tablename__ = "webhooks"
    __table_args__ = _NEVER_REUSED
    id: Mapped[int] = mapped_column(primary_key=True)
    url: Mapped[str] = mapped_column(String(2000))
    secret: Mapped[str] = mapped_column(String(100))  # as it is: a signature cannot be made with a hash of it
    seen_event: Mapped[int]  # up to which deliveries have been made
    created_at: Mapped[float]


class DeliveryRow(Base):
    """One event that one webhook is to be told; waits while it has a `due_at`."""

    __tablename__ = "deliveries"
    __table_args__ = _NEVER_REUSED
    id: Mapped[int] = mapped_column(primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), index=True)
    event_id: Mapped[int] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"), index=True)
    attempts: Mapped[int]
    due_at: Mapped[float | None] = mapped_column(index=True)
    delivered_at: Mapped[float | None]
    error: Mapped[str | None] = mapped_column(Text)
