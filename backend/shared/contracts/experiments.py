"""Runs launched together, and what a launch would cost."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field
from pydantic import Tag as PydanticTag

from backend.shared.contracts.fields import Answer, Name, Notes, Request, Tags
from backend.shared.contracts.spec import MAX_RUNS_PER_EXPERIMENT
from backend.shared.contracts.work import Priority, Status

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
    additions: list[dict[str, Any]] = Field(default_factory=list)  # what was posted to add runs, in order
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
