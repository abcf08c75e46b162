"""What travels between the services: requests forbid unknown fields, answers are read leniently."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field
from pydantic import Tag as PydanticTag

SPEC_VERSION = 1
MAX_RUNS_PER_EXPERIMENT = 500
MAX_SAMPLES_PER_ATTRIBUTION = 64
MAX_RUNS_PER_ATTRIBUTION = 6


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
    PREPARE = "prepare"


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
        case TaskKind.ATTRIBUTE:
            return QueueName.INTERACTIVE
        case TaskKind.PREPARE:
            return QueueName.PREPARE
    return {Priority.HIGH: QueueName.TRAIN_HIGH, Priority.LOW: QueueName.TRAIN_LOW}.get(priority, QueueName.TRAIN)


def _storable(text: str) -> str:
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not contain NUL or unpaired surrogate characters")
    return text


Id = Annotated[int, Field(ge=1, le=2**31 - 1)]
Key = Annotated[str, Field(pattern=r"^[a-z0-9_]+$", min_length=1, max_length=64)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_storable)]
Notes = Annotated[str, Field(max_length=20_000), AfterValidator(_storable)]
Tag = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$", max_length=50)]
Tags = Annotated[list[Tag], Field(max_length=50)]


class Request(BaseModel):
    # strict: true is not the number 1, and "1" is not either
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")


# ---- the spec -------------------------------------------------------------------------------------------------


class Component(Request):
    """A catalog entry with its parameters; those left out take the catalog's defaults."""

    key: Key
    params: dict[str, Any] = Field(default_factory=dict)


class EvaluationSpec(Component):
    """A measure to take of a trained run. `name` is its key unless given, and unique within the run."""

    name: Key | None = None


def _component(key: str) -> Any:
    return Field(default_factory=lambda: Component(key=key))


class RunSpec(Request):
    """Everything that decides what a run does. Every part has a default: `{}` trains the default demo."""

    dataset: Component = _component("blockmnist")
    model: Component = _component("mlp")
    regularizer: Component = _component("marginal_density")
    lambda_: float = Field(default=0.1, ge=0, le=1e6, description="weight λ of the penalty")
    schedule: Component = _component("constant")
    optimizer: Component = _component("adam")
    epochs: int = Field(default=15, ge=1, le=10_000)
    batch_size: int = Field(default=100, ge=1, le=65_536)
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="initialisation, order and augmentation")
    train_samples: int | None = Field(default=None, ge=1, le=2**31 - 1, description="train on the first n; null: all")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]{1,2})?)$")] = "auto"
    evaluations: list[EvaluationSpec] = Field(
        default_factory=lambda: [EvaluationSpec(key="leakage"), EvaluationSpec(key="pgd_linf")], max_length=20,
        description="measures taken once the run is trained; accuracy is always among them",
    )


# ---- requests -------------------------------------------------------------------------------------------------

SweepGrid = dict[str, Annotated[list[Any], Field(min_length=1, max_length=MAX_RUNS_PER_EXPERIMENT)]]
SweepGrids = Annotated[list[SweepGrid], Field(min_length=1, max_length=50)]
# Told apart by hand, so that an error speaks of the form that was sent and not of the other too
Sweep = Annotated[
    Annotated[SweepGrid, PydanticTag("grid")] | Annotated[SweepGrids, PydanticTag("grids")],
    Discriminator(lambda value: "grids" if isinstance(value, list) else "grid"),
]


class ExperimentRequest(Request):
    """Runs launched together: one spec, or one for every point of a grid (or of several grids) over it."""

    name: Name = "experiment"
    # Not RunSpec: the catalog fills and checks it (backend.shared.specs), so that every wrong field is named at once
    spec: dict[str, Any] = Field(default_factory=dict)
    sweep: Sweep | None = None
    notes: Notes = ""
    tags: Tags = Field(default_factory=list)
    # Strictness off: JSON has text alone, and a dictionary from JSON shall do as well
    priority: Annotated[Priority, Field(strict=False)] = Priority.NORMAL


class RunsRequest(Request):
    """More runs for an experiment: a sweep over the spec that it was launched with, or what it has with other seeds
    and λ. Those take every configuration that there is; λ takes those alone of which λ was varied already, if any."""

    sweep: Sweep | None = None
    seeds: list[Annotated[int, Field(ge=0, le=2**31 - 1)]] | None = Field(
        default=None, min_length=1, max_length=MAX_RUNS_PER_EXPERIMENT
    )
    lambdas: list[Annotated[float, Field(ge=0, le=1e6)]] | None = Field(
        default=None, min_length=1, max_length=MAX_RUNS_PER_EXPERIMENT
    )
    duplicates: Literal["refuse", "skip"] = "refuse"  # what to do about specs that the experiment has already
    priority: Annotated[Priority, Field(strict=False)] = Priority.NORMAL


class ExperimentPatch(Request):
    name: Name | None = None
    notes: Notes | None = None
    tags: Tags | None = None
    archived: bool | None = None


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


class PrepareRequest(Request):
    """Parameters of the data set to prepare; those left out take the catalog's defaults."""

    params: dict[str, Any] = Field(default_factory=dict)


Split = Literal["test", "validation", "train"]


class Samples(Request):
    """Images by their indices in a split; the same for every run of a data set with the same data seed."""

    split: Split = "test"
    indices: list[Annotated[int, Field(ge=0, le=2**31 - 1)]] = Field(
        min_length=1, max_length=MAX_SAMPLES_PER_ATTRIBUTION
    )


class AttributionRequest(Request):
    """Maps of the same images under several runs. `target`: "label", "predicted", or a class index."""

    runs: list[Id] = Field(min_length=1, max_length=MAX_RUNS_PER_ATTRIBUTION)
    method: Key = "gradient"
    params: dict[str, Any] = Field(default_factory=dict)
    samples: Samples
    target: Literal["label", "predicted"] | Annotated[int, Field(ge=0, le=2**31 - 1)] = "label"


ImageSize = Annotated[list[int], Field(min_length=2, max_length=2, description="height and width")]

# ---- the catalog ----------------------------------------------------------------------------------------------


class CatalogParam(Answer):
    """One parameter of a choice: what it takes, and how to ask for it."""

    name: str
    type: Literal["int", "float", "bool", "str", "floats", "component"]
    default: Any
    label: str
    help: str
    minimum: float | None
    maximum: float | None
    exclusive_minimum: bool
    choices: list[str | int]
    optional: bool
    kind: str | None  # of type "component": the kind whose {key, params} it takes


class CatalogRule(Answer):
    """Where `when` holds (values by parameter), each of `allowed` must too."""

    when: dict[str, list[Any]]
    allowed: dict[str, list[Any]]
    why: str


class CatalogCaution(Answer):
    """What a run carries where every path of `when` (dotted, in the spec) has a listed value."""

    when: dict[str, list[Any]]
    flag: str
    text: str


class CatalogEntry(Answer):
    """One choice of a kind; see `backend.shared.catalog.entry.Entry` for the facts."""

    key: str
    label: str
    summary: str
    params: list[CatalogParam]
    rules: list[CatalogRule]
    cautions: list[CatalogCaution]
    num_classes: int | None
    class_names: list[str]
    channels: int | None
    image_size: ImageSize | None
    mean: list[float]
    std: list[float]
    train_size: int | None
    has_groups: bool
    has_mask: bool
    embedded: bool
    min_image_size: int | None
    needs_mask: bool
    signed: bool
    needs_target: bool


# ---- answers --------------------------------------------------------------------------------------------------


class Value(Answer):
    """A measured number with its 95 % interval over n; `low`, `high` are null where none is defined."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    higher_is_better: bool | None = None


class Curve(Answer):
    x: list[float]
    y: list[float | None]
    low: list[float | None] | None = None
    high: list[float | None] | None = None
    x_label: str = ""
    y_label: str = ""


class Flag(Answer):
    """A warning beside a figure: a stable key and a sentence."""

    key: str
    text: str


class Evaluation(Answer):
    id: int
    run: int
    name: str
    key: str
    params: dict[str, Any]
    status: Status
    progress: float = 0.0
    error: str | None = None
    values: dict[str, Value] = Field(default_factory=dict)
    curves: dict[str, Curve] = Field(default_factory=dict)
    flags: list[Flag] = Field(default_factory=list)
    seconds: float | None = None
    task: int
    created_at: datetime
    provenance: dict[str, Any] = Field(default_factory=dict)


class Run(Answer):
    id: int
    experiment: int
    spec: RunSpec
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


class Experiment(Answer):
    id: int
    name: str
    notes: str = ""
    tags: list[str] = Field(default_factory=list)
    archived: bool = False
    runs: list[int] = Field(default_factory=list)
    counts: dict[Status, int] = Field(default_factory=dict)  # runs by status
    progress: float = 0.0
    eta_seconds: float | None = None  # of its training, if nothing else comes in between; null where none is known yet
    request: dict[str, Any] = Field(default_factory=dict)  # what was posted, to be sent again
    created_at: datetime


class PreflightData(Answer):
    key: str
    params: dict[str, Any]
    status: Literal["ready", "embedded", "absent"]  # embedded: prepares itself at the launch
    prepare: str | None = None  # the address to POST to where it is absent


class Preflight(Answer):
    """What a launch would cost."""

    runs: int
    steps: int  # in all
    steps_per_run: list[int]
    seconds: float | None  # of training, on the workers present; null where a run's pace is not known
    seconds_per_run: list[float | None]
    basis: Literal["measured", "calibrated", "mixed", "unknown"]
    basis_text: str
    memory_bytes: int | None  # the most that a run takes beside the libraries; null where it is not known
    memory_formula: str
    workers: int  # that train
    broker: str  # "ok", or what is wrong
    data: list[PreflightData]
    launchable: bool


class AddedRuns(Answer):
    experiment: Experiment
    added: list[int]
    skipped: list[int]  # runs of the experiment that were asked for again


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


class Panel(Answer):
    """One run's view of one image, in the order of the request's indices."""

    run: int
    index: int
    label: int
    predicted: int
    confidence: float  # softmax probability of the predicted class
    target: int
    leakage: float | None = None  # L2 norm of the map on the null mask; null without a mask
    leakage_share: float | None = None  # squared share; null where the map is zero
    zero: bool = False
    nan: bool = False


class Attribution(Answer):
    id: int
    status: Status
    error: str | None = None
    runs: list[int]
    method: str
    params: dict[str, Any]
    samples: Samples
    target: Literal["label", "predicted"] | int
    limit: float | None = None  # the shared colour limit: 99th percentile of |map| pooled over all panels
    panels: list[Panel] = Field(default_factory=list)
    data_hash: str | None = None
    seconds: float | None = None
    task: int
    created_at: datetime


class Dataset(Answer):
    key: str
    label: str
    summary: str
    status: Literal["ready", "preparing", "absent"]
    embedded: bool
    num_classes: int
    class_names: list[str]
    channels: int
    image_size: ImageSize
    has_mask: bool
    has_groups: bool
    bytes: int | None = None
    sizes: dict[str, int] = Field(default_factory=dict)  # images per split
    class_counts: dict[str, list[int]] = Field(default_factory=dict)  # per split
    data_hash: str | None = None
    task: int | None = None  # the last preparation
    prepared_at: datetime | None = None


class DatasetSample(Answer):
    index: int
    label: int
    group: int | None = None
    image: str  # PNG as a data URL
    mask: str | None = None  # PNG as a data URL, white on the null half


class Page(Answer):
    """One page of a listing; `next_cursor` is null on the last one."""

    items: list[Any]
    next_cursor: str | None = None


class Deleted(Answer):
    bytes: int  # freed


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


class FieldError(Answer):
    pointer: str  # JSON pointer into the request
    detail: str


class Problem(Answer):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    errors: list[FieldError] = Field(default_factory=list)


class Readiness(Answer):
    status: Literal["ok", "degraded"]
    database: str  # "ok", or what is wrong
    broker: str
    workers: dict[QueueName, int]  # live workers by queue
    queued: int
    running: int


class Worker(Answer):
    name: str
    host: str
    queues: list[QueueName]
    device: str | None = None  # of the last run that it trained; null: none yet
    task: Task | None = None  # what it does just now
    since: datetime


class Broker(Answer):
    status: str  # "ok", or what is wrong
    version: str | None = None
    bytes: int | None = None  # of memory


class DatabaseState(Answer):
    kind: str
    version: str
    bytes: int
    revision: str | None


class Disk(Answer):
    """`free_bytes` of the disk with the state folder; the rest is what DensityLab has stored, wherever it is."""

    free_bytes: int
    total_bytes: int
    runs_bytes: int
    maps_bytes: int
    data_bytes: int
    backups_bytes: int


class System(Answer):
    workers: list[Worker]
    queues: dict[QueueName, int]  # jobs that wait; empty where the broker does not answer
    broker: Broker
    database: DatabaseState
    disk: Disk
    queued: int
    running: int
    versions: dict[str, str]
