"""Tasks: their states, their kinds, and the queues that carry them."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from densitylab.backend.shared.contracts.fields import Answer


class Status(StrEnum):
    """The state of a task, and so of the run or evaluation that it works for."""

    QUEUED = "queued"  # waits for a worker, the broker, or the task that it follows
    RUNNING = "running"  # a worker holds its lease
    SUCCEEDED = "succeeded"  # its result is stored
    FAILED = "failed"  # ended by `error`; can be retried
    CANCELLED = "cancelled"  # ended on request; stored results are kept

    @property
    def final(self) -> bool:
        return self in (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)

    @property
    def unsuccessful(self) -> bool:
        """True of work that has ended without a result."""
        return self in (Status.FAILED, Status.CANCELLED)


class TaskKind(StrEnum):
    """The kinds of work; each has a job of the same name in `densitylab.worker.jobs`."""

    TRAIN = "train"
    EVALUATE = "evaluate"
    ATTRIBUTE = "attribute"
    DENSITY = "density"
    PREPARE = "prepare"
    REGISTER = "register"
    PREVIEW = "preview_images"
    INSPECT = "inspect_model"
    IMPORT = "import_model"
    LOG = "log"
    EXPORT = "export"
    PENALTIES = "penalties"


# Kinds of the one task that makes a run, and whose status the run has
RUN_TASKS = (TaskKind.TRAIN, TaskKind.IMPORT, TaskKind.LOG)


class Priority(StrEnum):
    """Order of queued trainings; within one priority, the order of launch. A running training is never interrupted."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class QueueName(StrEnum):
    """Names of the broker's queues."""

    INTERACTIVE = "interactive"
    EVALUATE = "evaluate"
    TRAIN_HIGH = "train-high"
    TRAIN = "train"
    TRAIN_LOW = "train-low"
    PREPARE = "prepare"


# In the order in which a training worker serves them: a run's evaluations come before the next training
TRAINING_QUEUES = (QueueName.EVALUATE, QueueName.TRAIN_HIGH, QueueName.TRAIN, QueueName.TRAIN_LOW)


WORKER_SECONDS = 90  # for which a worker's record with the broker lives after each heartbeat
LOAD_FIELD = "densitylab_load"  # of that record: JSON, [load average of a minute, processor cores] of the machine
ENTRIES_FIELD = "densitylab_entries"  # of a worker's record with the broker: JSON, see `worker.resolve.report`


def queue_of(kind: TaskKind, priority: Priority) -> QueueName:
    """Return the queue of a task; only trainings differ by priority."""
    match kind:
        case TaskKind.EVALUATE:
            return QueueName.EVALUATE
        case TaskKind.ATTRIBUTE | TaskKind.DENSITY | TaskKind.PENALTIES:
            return QueueName.INTERACTIVE
        case TaskKind.PREPARE | TaskKind.REGISTER | TaskKind.PREVIEW:
            return QueueName.PREPARE
        case TaskKind.INSPECT | TaskKind.IMPORT | TaskKind.EXPORT:
            return QueueName.PREPARE
    return {Priority.HIGH: QueueName.TRAIN_HIGH, Priority.LOW: QueueName.TRAIN_LOW}.get(priority, QueueName.TRAIN)


class Task(Answer):
    """A unit of work, such as a training or an evaluation."""

    id: int = Field(description="number of the task")
    kind: TaskKind = Field(description="kind of work")
    run: int | None = Field(default=None, description="number of its run; null: of none")
    status: Status = Field(description="its state")
    stage: str = Field(default="", description="present activity, in words")
    progress: float = Field(default=0.0, description="0 to 1")
    eta_seconds: float | None = Field(default=None, description="estimated seconds left; null if not known")
    attempt: int = Field(default=0, description="number of attempts so far")
    cancel_requested: bool = Field(default=False, description="whether it was asked to stop")
    error: str | None = Field(default=None, description="why it failed; null: it did not")
    created_at: datetime = Field(description="time of creation, UTC")
    started_at: datetime | None = Field(default=None, description="start of the first attempt, UTC")
    finished_at: datetime | None = Field(default=None, description="end, UTC")
