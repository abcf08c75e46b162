"""Tasks: their states, their kinds, and the queues that carry them."""

from datetime import datetime
from enum import StrEnum

from backend.shared.contracts.fields import Answer


class Status(StrEnum):
    """The state of a task, and so of the run or evaluation that it works for."""

    QUEUED = "queued"  # waits for a worker, for the broker, or for the task that it comes after
    RUNNING = "running"  # a worker holds its lease
    SUCCEEDED = "succeeded"  # its result is stored
    FAILED = "failed"  # ended by an error, which `error` tells; may be retried
    CANCELLED = "cancelled"  # ended on request; what it had stored is kept

    @property
    def final(self) -> bool:
        return self in (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)


class TaskKind(StrEnum):
    """The kinds of work; each has a job of the same name in `worker.jobs`."""

    TRAIN = "train"
    EVALUATE = "evaluate"
    ATTRIBUTE = "attribute"
    DENSITY = "density"
    PREPARE = "prepare"
    REGISTER = "register"


class Priority(StrEnum):
    """Which training goes first; those of one priority go in the order of their launch. None interrupts another."""

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


# In the order in which a training worker serves them: a trained run's measures come before the next training
TRAINING_QUEUES = (QueueName.EVALUATE, QueueName.TRAIN_HIGH, QueueName.TRAIN, QueueName.TRAIN_LOW)


def queue_of(kind: TaskKind, priority: Priority) -> QueueName:
    """Where a task is delivered; only trainings differ by priority."""
    match kind:
        case TaskKind.EVALUATE:
            return QueueName.EVALUATE
        case TaskKind.ATTRIBUTE | TaskKind.DENSITY:
            return QueueName.INTERACTIVE
        case TaskKind.PREPARE | TaskKind.REGISTER:
            return QueueName.PREPARE
    return {Priority.HIGH: QueueName.TRAIN_HIGH, Priority.LOW: QueueName.TRAIN_LOW}.get(priority, QueueName.TRAIN)


class Task(Answer):
    id: int
    kind: TaskKind
    run: int | None = None
    status: Status
    stage: str = ""
    progress: float = 0.0
    eta_seconds: float | None = None
    attempt: int = 0
    cancel_requested: bool = False
    error: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
