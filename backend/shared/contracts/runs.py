"""A run, what it leaves behind, and what can be done to it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from backend.shared.contracts.evaluations import Flag, Value
from backend.shared.contracts.fields import Answer, Id, Notes, Request, Tags
from backend.shared.contracts.spec import MAX_RUNS_PER_EXPERIMENT, EvaluationSpec, RunSpec
from backend.shared.contracts.work import Priority, Status


class RunPatch(Request):
    notes: Notes | None = None
    tags: Tags | None = None
    archived: bool | None = None


class BulkAction(StrEnum):
    CANCEL = "cancel"
    RETRY = "retry"
    ARCHIVE = "archive"
    UNARCHIVE = "unarchive"
    DELETE = "delete"


class BulkRequest(Request):
    """One action on many runs. `dry_run`: only say what it would do, and the bytes that it would free."""

    action: Annotated[BulkAction, Field(strict=False)]
    runs: list[Id] = Field(min_length=1, max_length=MAX_RUNS_PER_EXPERIMENT)
    dry_run: bool = False


class Run(Answer):
    id: int
    experiment: int
    spec: RunSpec
    evaluations: list[EvaluationSpec] = Field(default_factory=list)  # asked for at the launch or later, each named
    status: Status
    stage: str = ""  # what it does just now, in words
    priority: Priority = Priority.NORMAL
    queue_position: int | None = None  # of a queued training: 1 is the next
    attempt: int = 0
    progress: float = 0.0  # 0 to 1
    eta_seconds: float | None = None
    metrics: dict[str, float] = Field(default_factory=dict)  # the latest value of each curve
    results: dict[str, Value] = Field(default_factory=dict)  # "<evaluation name>.<value name>"
    flags: list[Flag] = Field(default_factory=list)
    error: str | None = None
    device: str | None = None
    checkpoint_step: int | None = None  # null: nothing stored yet
    task: int
    notes: str = ""
    tags: list[str] = Field(default_factory=list)
    archived: bool = False
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    provenance: dict[str, Any] = Field(default_factory=dict)  # code, packages, data hash, spec hash


class MetricPoint(Answer):
    step: int
    epoch: float
    value: float
    seconds: float  # of training, pauses not counted


class MetricSeries(Answer):
    run: int
    name: str
    points: list[MetricPoint]
    total: int  # points kept; more than len(points) where the answer was thinned


class LogLine(Answer):
    id: int
    at: datetime
    level: str
    text: str


class Artifact(Answer):
    name: str
    bytes: int
    media_type: str
    step: int | None = None
    created_at: datetime


class BulkOutcome(Answer):
    run: int
    done: bool  # of a dry run: whether it would be
    detail: str = ""  # why not
    bytes: int = 0  # freed


class BulkAnswer(Answer):
    action: BulkAction
    dry_run: bool
    done: int  # runs
    refused: int
    bytes: int  # freed in all
    outcomes: list[BulkOutcome]
