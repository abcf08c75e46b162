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

from densitylab.backend.shared.contracts import SearchStatus
from densitylab.backend.shared.contracts.fields import MAX_RUN_NAME

Json = dict[str, Any]

# Ids are never reused after a deletion: links, jobs and paths of files contain them
_NEVER_REUSED = {"sqlite_autoincrement": True}


class Base(DeclarativeBase):
    # Named constraints, so that migrations can refer to them on every database
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {Json: JSON, list[str]: JSON, list[Json]: JSON}  # noqa: RUF012


class Owned:
    """Who made a row: the name of a token, and its number; without a number it was the administrator, or anyone where
    no token is required. Both are null if it is not known, or DensityLab made the row itself."""

    owner: Mapped[str | None] = mapped_column(String(200))
    owner_token: Mapped[int | None] = mapped_column(Integer)


class ExperimentRow(Owned, Base):
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
    search: Mapped[Json | None]  # request, name of the result on validation images, provenance and priority of its runs
    search_status: Mapped[SearchStatus | None] = mapped_column(String(16), index=True)
    search_reason: Mapped[str | None] = mapped_column(Text)
    workers: Mapped[int | None]  # that could train its runs when it was launched
    created_at: Mapped[float]


class RunRow(Owned, Base):
    """The training of one model. Its status is that of its train task."""

    __tablename__ = "runs"
    # The rows are wide: whatever listings filter and sort by is found in an index that ends with the order
    __table_args__ = (
        Index("ix_runs_experiment_id_deleting_id", "experiment_id", "deleting", "id"),
        Index("ix_runs_deleting_id", "deleting", "id"),
        Index("ix_runs_deleting_created_at", "deleting", "created_at", "id"),
        Index("ix_runs_deleting_lambda_", "deleting", "lambda_", "id"),
        Index("ix_runs_deleting_archived_id", "deleting", "archived", "id"),
        Index("ix_runs_deleting_archived_created_at", "deleting", "archived", "created_at", "id"),
        Index("ix_runs_deleting_archived_lambda_", "deleting", "archived", "lambda_", "id"),
        Index("ix_runs_dataset_deleting_archived_id", "dataset", "deleting", "archived", "id"),
        Index("ix_runs_model_deleting_archived_id", "model", "deleting", "archived", "id"),
        Index("ix_runs_regularizer_deleting_archived_id", "regularizer", "deleting", "archived", "id"),
        Index("ix_runs_owner_deleting_archived_id", "owner", "deleting", "archived", "id"),
        Index("ix_runs_origin_deleting_archived_id", "origin", "deleting", "archived", "id"),
        Index("ix_runs_name_deleting_archived_id", "name", "deleting", "archived", "id"),
        Index("ix_runs_dataset_model_regularizer", "dataset", "model", "regularizer", "id"),
        _NEVER_REUSED,
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id", ondelete="CASCADE"))
    spec_version: Mapped[int]
    spec: Mapped[Json]  # every default resolved
    spec_hash: Mapped[str] = mapped_column(String(16), index=True)
    dataset: Mapped[str] = mapped_column(String(64))  # copies of the spec's keys, for filters
    model: Mapped[str] = mapped_column(String(64))
    regularizer: Mapped[str] = mapped_column(String(64))
    lambda_: Mapped[float | None]  # of the training; null: not known
    origin: Mapped[str] = mapped_column(String(16), default="trained", server_default="trained")
    source: Mapped[Json | None] = mapped_column(JSON(none_as_null=True))  # the file of an imported run's weights
    init_from_run: Mapped[int | None] = mapped_column(index=True)  # copy of the spec's; that run may be deleted
    name: Mapped[str | None] = mapped_column(String(MAX_RUN_NAME))
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
    # Of its network, read only where layers of it are to be frozen; null: not known
    parameter_names: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True), deferred=True)
    created_at: Mapped[float]


class TagRow(Base):
    """One of a run's `tags`, with an index for finding the runs that have it."""

    __tablename__ = "run_tags"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(Text, primary_key=True)
    __table_args__ = (Index("ix_run_tags_tag", "tag", "run_id"), {"sqlite_with_rowid": False})


class SearchTextRow(Base):
    """The text of a run that the search reads; `store.run_search` writes it, and revision 0027 makes its index."""

    __tablename__ = "run_texts"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    text: Mapped[str] = mapped_column(Text)


class ResultRow(Base):
    """One number of a run's `results`, with an index for sorting runs by it."""

    __tablename__ = "result_values"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    value: Mapped[float]
    __table_args__ = (
        Index("ix_result_values_name_value", "name", "value", "run_id"),
        {"sqlite_with_rowid": False},
    )


class LatestRow(Base):
    """The latest finite value of one of a run's curves, with an index for sorting runs by it."""

    __tablename__ = "latest_values"
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[float]
    __table_args__ = (
        Index("ix_latest_values_name_value", "name", "value", "run_id"),
        {"sqlite_with_rowid": False},
    )


class TaskRow(Owned, Base):
    """A unit of work with a lease. The row is the outbox: a queued task that is not `delivered` has to be delivered."""

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
    expected_seconds: Mapped[float | None]  # of the whole task, estimated before it began
    lease_until: Mapped[float | None]
    # Incremented by every claim: a worker with an older token cannot write
    token: Mapped[int] = mapped_column(Integer, default=0)
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    fruitless: Mapped[int] = mapped_column(Integer, default=0)  # attempts since a checkpoint last advanced
    worker: Mapped[str | None] = mapped_column(String(200))
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)  # peak of the process that executes it
    device_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)  # peak on its GPU
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
        # What is to be delivered, in order, apart from what waits for another task
        Index("ix_tasks_undelivered", "status", "delivered", "after_task", "priority", "id"),
        # Runs by status and by progress, in the order of a listing
        Index("ix_tasks_status_run_id", "status", "run_id", "kind"),
        Index("ix_tasks_progress_run_id", "progress", "run_id", "kind"),
        Index("ix_tasks_worker_started_at", "worker", "started_at"),
        # Covers the sums of an experiment's listing, which may have thousands of tasks
        Index(
            "ix_tasks_run_id_summed", "run_id", "kind", "status", "progress", "eta_seconds", "started_at", "finished_at"
        ),
        _NEVER_REUSED,
    )


class MetricRow(Base):
    """One point of one curve. SQLite stores the rows in the order of the key, so that a curve is contiguous."""

    __tablename__ = "metrics"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[float]
    value: Mapped[float]
    seconds: Mapped[float]  # of training, without pauses


class LogRow(Base):
    """One line of a run's log."""

    __tablename__ = "log_lines"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    at: Mapped[float]
    level: Mapped[str] = mapped_column(String(16))
    text: Mapped[str] = mapped_column(Text)


class ArtifactRow(Base):
    """A stored file of a run. A file without a row is an orphaned file."""

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
    """An evaluation of a run. Its status is that of its task."""

    __tablename__ = "evaluations"
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), unique=True)
    name: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(64))
    split: Mapped[str] = mapped_column(String(16), server_default="test")
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
    """An uploaded image: its pixels in the shape of a data set, without the file's metadata."""

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


class RegisteredRow(Owned, Base):
    """A data set registered from a user's own images; its prepared variant is a DatasetRow."""

    __tablename__ = "registered_datasets"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    label: Mapped[str] = mapped_column(String(100))
    summary: Mapped[str] = mapped_column(Text)
    facts: Mapped[Json]  # fields of the entry that were derived from the images
    created_at: Mapped[float]


class IdempotencyRow(Base):
    """What a request with this key made, stored for a day; see `store.idempotency` for the key."""

    __tablename__ = "idempotency"
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    body_hash: Mapped[str] = mapped_column(String(64))
    made: Mapped[Any] = mapped_column(JSON)
    created_at: Mapped[float]


class StudyRow(Owned, Base):
    """A study that was launched."""

    __tablename__ = "studies"
    __table_args__ = _NEVER_REUSED
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64))
    size: Mapped[str] = mapped_column(String(16))
    datasets: Mapped[Json]  # in place of the study's own, by the study's key
    definition: Mapped[Json]  # as it was at the launch
    launches: Mapped[list[Json]]  # of each: its key, the number of its experiment, what was left out
    created_at: Mapped[float]


class TokenRow(Owned, Base):
    """A bearer token; a revoked one is kept for as long as the lines of the audit log."""

    __tablename__ = "tokens"
    __table_args__ = _NEVER_REUSED
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), index=True, unique=True)
    digest: Mapped[str] = mapped_column(String(64))  # SHA-256 of the token
    read_only: Mapped[bool]
    created_at: Mapped[float]
    revoked_at: Mapped[float | None]


class AuditRow(Base):
    """A change made through the API."""

    __tablename__ = "audit"
    __table_args__ = _NEVER_REUSED
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[float]
    caller: Mapped[str] = mapped_column(String(200))
    token: Mapped[int | None] = mapped_column(Integer)  # number of the caller's token, which may be deleted since
    method: Mapped[str] = mapped_column(String(10))
    path: Mapped[str] = mapped_column(String(500))
    status: Mapped[int]
    location: Mapped[str | None] = mapped_column(String(500))
    request_id: Mapped[str] = mapped_column(String(64))


class EventRow(Base):
    """A new status of a run's task."""

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_kind_status", "kind", "status"), _NEVER_REUSED)
    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), index=True)
    task_id: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    status: Mapped[str] = mapped_column(String(16))
    error: Mapped[str | None] = mapped_column(Text)
    at: Mapped[float]


class EndedRunsRow(Base):
    """Trainings that ended with this status, and whose events are deleted; see `store.ended_runs`."""

    __tablename__ = "ended_runs"
    status: Mapped[str] = mapped_column(String(16), primary_key=True)
    number: Mapped[int]


class WebhookRow(Owned, Base):
    """A URL that gets a request when something happens."""

    __tablename__ = "webhooks"
    __table_args__ = _NEVER_REUSED
    id: Mapped[int] = mapped_column(primary_key=True)
    url: Mapped[str] = mapped_column(String(2000))
    secret: Mapped[str] = mapped_column(String(100))  # in plain text: signing needs it
    events: Mapped[list[str]]  # their types
    format: Mapped[str] = mapped_column(String(16))
    seen_event: Mapped[int]  # last event for which deliveries were created
    created_at: Mapped[float]


class DeliveryRow(Base):
    """The delivery of an event to a webhook; pending while it has a `due_at`."""

    __tablename__ = "deliveries"
    __table_args__ = _NEVER_REUSED
    id: Mapped[int] = mapped_column(primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), index=True)
    event_id: Mapped[int] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"), index=True)
    attempts: Mapped[int]
    due_at: Mapped[float | None] = mapped_column(index=True)
    delivered_at: Mapped[float | None]
    error: Mapped[str | None] = mapped_column(Text)
