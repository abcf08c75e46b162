"""Runs, their curves, logs and files, and actions on them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from densitylab.backend.shared.contracts.evaluations import Flag, Value
from densitylab.backend.shared.contracts.fields import Answer, Id, Notes, Request, RunName, Tags
from densitylab.backend.shared.contracts.origins import KNOWN_ELSEWHERE, Origin, RunSource
from densitylab.backend.shared.contracts.spec import MAX_RUNS_PER_EXPERIMENT, EvaluationSpec, RunSpec
from densitylab.backend.shared.contracts.work import Priority, Status

PRUNED = "pruned_trial"  # key of the flag of a run whose training a search stopped


class RunPatch(Request):
    """Changes of a run."""

    name: RunName | None = Field(default=None, description="null: unchanged; empty: none")
    notes: Notes | None = Field(default=None, description="null: unchanged")
    tags: Tags | None = Field(default=None, description="null: unchanged")
    archived: bool | None = Field(default=None, description="null: unchanged")


class BulkAction(StrEnum):
    """An action on many runs."""

    CANCEL = "cancel"
    RETRY = "retry"
    ARCHIVE = "archive"
    UNARCHIVE = "unarchive"
    DELETE = "delete"


class BulkRequest(Request):
    """One action on many runs. `dry_run`: only return what it would do, and the bytes that it would free."""

    action: Annotated[BulkAction, Field(strict=False)] = Field(description="what to do")
    runs: list[Id] = Field(min_length=1, max_length=MAX_RUNS_PER_EXPERIMENT, description="numbers of the runs")
    dry_run: bool = Field(default=False, description="only return what it would do")


class Ancestor(Answer):
    """A run that another one starts from."""

    run: int = Field(description="number of the run")
    mode: Literal["continue", "weights"] = Field(description="what was taken: its whole state, or its weights alone")
    epochs: float | None = Field(description="epochs that it had trained; null: not known")
    deleted: bool = Field(default=False, description="whether it does not exist any more")


class Lineage(Answer):
    """The runs that a run starts from, and those that start from it."""

    ancestors: list[Ancestor] = Field(
        default_factory=list, description="the run that it starts from, then the one that this one starts from, ..."
    )
    children: list[int] = Field(default_factory=list, description="numbers of the runs that start from it")


class Run(Answer):
    """One trained or imported model, with its results."""

    id: int = Field(description="number of the run")
    experiment: int = Field(description="number of its experiment")
    name: str | None = Field(default=None, description="name of its own; null: none")
    spec: RunSpec = Field(description="the spec, complete")
    origin: Origin = Field(default=Origin.TRAINED, description="where the weights come from")
    source: RunSource | None = Field(default=None, description="file of the weights; null: trained here")
    lambda_: float | None = Field(
        default=None, description="weight λ of the penalty in the training; null: not known, of an imported model"
    )
    lineage: Lineage = Field(
        default_factory=Lineage, description="the runs that it starts from, and those that start from it"
    )
    evaluations: list[EvaluationSpec] = Field(
        default_factory=list, description="the evaluations requested at the launch or later"
    )
    evaluation_counts: dict[Status, int] = Field(default_factory=dict, description="number of evaluations by status")
    measured: bool = Field(default=False, description="whether it is trained and every evaluation has ended")
    status: Status = Field(description="state of the training")
    stage: str = Field(default="", description="current activity, in words")
    priority: Priority = Field(default=Priority.NORMAL, description="order among the queued trainings")
    queue_position: int | None = Field(
        default=None, description="position of a queued training, 1 is next; null: not queued"
    )
    attempt: int = Field(default=0, description="attempts of the training so far")
    progress: float = Field(default=0.0, description="0 to 1")
    eta_seconds: float | None = Field(default=None, description="estimated seconds left; null if not known")
    metrics: dict[str, float] = Field(default_factory=dict, description="the latest value of each curve")
    results: dict[str, Value] = Field(default_factory=dict, description="by `<evaluation name>.<value name>`")
    flags: list[Flag] = Field(default_factory=list, description="warnings about the run and its results")
    error: str | None = Field(default=None, description="why it failed; null: it did not")
    device: str | None = Field(default=None, description="device of the training; null: not started")
    checkpoint_step: int | None = Field(
        default=None, description="optimizer steps of the stored checkpoint; null: nothing stored yet"
    )
    task: int = Field(description="number of the training's task")
    notes: str = Field(default="", description="free text")
    tags: list[str] = Field(default_factory=list, description="labels")
    archived: bool = Field(default=False, description="whether it is hidden from listings by default")
    owner: str | None = Field(
        default=None, description='who launched it: a token\'s name, "administrator" or "local"; null: not known'
    )
    created_at: datetime = Field(description="time of creation, UTC")
    started_at: datetime | None = Field(default=None, description="start of the first attempt, UTC")
    finished_at: datetime | None = Field(default=None, description="end, UTC")
    provenance: dict[str, Any] = Field(
        default_factory=dict, description="versions of the code, packages and plug-ins; hashes of the data and the spec"
    )
    missing: list[str] = Field(
        default_factory=list, description="entries of plug-ins that it used and that are not installed any more"
    )

    @property
    def pruned(self) -> bool:
        """True if a search stopped the run, since its trial had fallen behind earlier ones."""
        return self.status is Status.CANCELLED and any(flag.key == PRUNED for flag in self.flags)

    @property
    def source_name(self) -> str:
        """Name of a model that was trained elsewhere: of its file, or of a logged run the first line of its notes;
        where that is empty the other one, or the number of the run."""
        file, title = self.source.file_name if self.source else "", next(iter(self.notes.splitlines()), "")[:60]
        return (title or file if self.origin is Origin.LOGGED else file or title) or f"run {self.id}"

    @property
    def known_spec(self) -> dict[str, Any]:
        """The spec, without the settings of a training that are not known of a model that was trained elsewhere."""
        parts = None if self.origin is Origin.TRAINED else set(KNOWN_ELSEWHERE)
        return self.spec.model_dump(mode="json", include=parts)


def _optional(schema: dict[str, Any]) -> None:
    del schema["required"]
    for field in schema["properties"].values():
        field.pop("default", None)


class PartialRun(Run):
    """The requested fields of a run."""

    model_config = ConfigDict(json_schema_extra=_optional)


class MetricPoint(Answer):
    """A point of a training curve."""

    step: int = Field(description="number of optimizer steps")
    epoch: float = Field(description="the same in epochs")
    value: float = Field(description="value of the curve")
    seconds: float = Field(description="seconds of training, without pauses")


class MetricSeries(Answer):
    """A training curve of a run."""

    run: int = Field(description="number of the run")
    name: str = Field(description="name of the curve")
    points: list[MetricPoint] = Field(description="in the order of the steps")
    total: int = Field(description="stored points; more than len(points) if the curve was thinned")


class LogLine(Answer):
    """A line of a run's log."""

    id: int = Field(description="number of the line")
    at: datetime = Field(description="time, UTC")
    level: str = Field(description="severity")
    text: str = Field(description="the message")


class Artifact(Answer):
    """A stored file of a run."""

    name: str = Field(description="file name")
    bytes: int = Field(description="size in bytes")
    media_type: str = Field(description="type of the content")
    step: int | None = Field(default=None, description="optimizer steps of the checkpoint; null: of no checkpoint")
    created_at: datetime = Field(description="time of creation, UTC")


class BulkOutcome(Answer):
    """Outcome of an action on one run."""

    run: int = Field(description="number of the run")
    done: bool = Field(description="whether it was done, or in a dry run would be")
    detail: str = Field(default="", description="why it was not done")
    bytes: int = Field(default=0, description="bytes freed")


class BulkAnswer(Answer):
    """What was done, in all and to each run."""

    action: BulkAction = Field(description="as posted")
    dry_run: bool = Field(description="as posted")
    done: int = Field(description="number of runs that it was done to")
    refused: int = Field(description="number of runs that it was not done to")
    bytes: int = Field(description="bytes freed, of all runs")
    outcomes: list[BulkOutcome] = Field(description="one per run")
