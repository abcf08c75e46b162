"""Experiments, and the estimated cost of a launch."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, WithJsonSchema
from pydantic import Tag as PydanticTag

from densitylab.backend.shared.contracts.evaluations import Flag
from densitylab.backend.shared.contracts.fields import IN_LISTS, Answer, DocumentedAs, Id, Name, Notes, Request, Tags
from densitylab.backend.shared.contracts.searches import Search, SearchSummary
from densitylab.backend.shared.contracts.spec import MAX_RUNS_PER_EXPERIMENT, RunSpec
from densitylab.backend.shared.contracts.work import Priority, Status

_SCALAR = {"type": ["boolean", "number", "string", "null"]}
_LIST = {"type": "array", "items": _SCALAR}
_OBJECT = {"type": "object", "additionalProperties": True}
SweepValue = Annotated[Any, WithJsonSchema({"anyOf": [_SCALAR, _LIST, _OBJECT]})]
SweepGrid = dict[str, Annotated[list[SweepValue], Field(min_length=1, max_length=MAX_RUNS_PER_EXPERIMENT)]]
SweepGrids = Annotated[list[SweepGrid], Field(min_length=1, max_length=50)]
# With a discriminator, so that an error names only the alternative that was sent
Sweep = Annotated[
    Annotated[SweepGrid, PydanticTag("grid")] | Annotated[SweepGrids, PydanticTag("grids")],
    Discriminator(lambda value: "grids" if isinstance(value, list) else "grid"),
]


class ExperimentRequest(Request):
    """Runs launched together: one spec, or one for every point of a grid (or of several grids) over it."""

    name: Name = Field(default="experiment", description="name for people")
    # densitylab.backend.shared.specs checks it against the catalog and names every wrong field at once
    spec: Annotated[dict[str, Any], DocumentedAs(RunSpec)] = Field(
        default_factory=dict, description="the spec that all runs share; parts left out take their defaults"
    )
    sweep: Sweep | None = Field(
        default=None,
        description="values by dotted path in the spec, a run for each combination, or a list of these; null: one run",
    )
    search: Search | None = Field(
        default=None, description="how λ, or any parameters, are found in place of a sweep of them; null: no search"
    )
    notes: Notes = Field(default="", description="free text")
    tags: Tags = Field(default_factory=list, description="labels")
    # Not strict: a dictionary from JSON has text in place of the enum
    priority: Annotated[Priority, Field(strict=False)] = Field(
        default=Priority.NORMAL, description="order among the queued trainings"
    )


class RunsRequest(Request):
    """More runs for an experiment: a sweep over the spec that it was launched with, or its configurations with other
    seeds and λ. Configurations whose runs were all cancelled are left out. New seeds apply to every other one; new λ
    only to those whose λ was varied already, if any. Or both apply to the configurations of chosen runs."""

    sweep: Sweep | None = Field(default=None, description="as in a launch; null: none")
    seeds: list[Annotated[int, Field(ge=0, le=2**31 - 1), IN_LISTS]] | None = Field(
        default=None, min_length=1, max_length=MAX_RUNS_PER_EXPERIMENT, description="more seeds; null: none"
    )
    lambdas: list[Annotated[float, Field(ge=0, le=1e6), WithJsonSchema({"type": "number"})]] | None = Field(
        default=None, min_length=1, max_length=MAX_RUNS_PER_EXPERIMENT, description="more values of λ; null: none"
    )
    runs: list[Id] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_RUNS_PER_EXPERIMENT,
        description="runs of the experiment whose configurations alone, cancelled or not, are trained with the seeds, "
        "or with the λ and the seeds of these runs; null: none are chosen",
    )
    duplicates: Literal["refuse", "skip"] = Field(
        default="refuse", description="what to do about specs that the experiment has already"
    )
    priority: Annotated[Priority, Field(strict=False)] = Field(
        default=Priority.NORMAL, description="order among the queued trainings"
    )


class ExperimentPatch(Request):
    """Changes of an experiment."""

    name: Name | None = Field(default=None, description="null: unchanged")
    notes: Notes | None = Field(default=None, description="null: unchanged")
    tags: Tags | None = Field(default=None, description="null: unchanged")
    archived: bool | None = Field(default=None, description="null: unchanged")


class Experiment(Answer):
    """A group of runs launched together."""

    id: int = Field(description="number of the experiment")
    name: str = Field(description="name for people")
    notes: str = Field(default="", description="free text")
    tags: list[str] = Field(default_factory=list, description="labels")
    archived: bool = Field(default=False, description="whether it is hidden from listings by default")
    runs: list[int] = Field(default_factory=list, description="numbers of its runs")
    counts: dict[Status, int] = Field(default_factory=dict, description="number of runs by status")
    evaluation_counts: dict[Status, int] = Field(default_factory=dict, description="number of evaluations by status")
    search: SearchSummary | None = Field(default=None, description="state of its search; null: it has none")
    finished: bool = Field(
        default=False, description="whether every run and evaluation has ended, and a search launches no more"
    )
    progress: float = Field(default=0.0, description="mean over its runs that are neither cancelled nor failed, 0 to 1")
    eta_seconds: float | None = Field(
        default=None,
        description="estimated seconds until its runs are trained and evaluated if no other work comes first; null if "
        "not known",
    )
    untimed_evaluations: int = Field(
        default=0,
        description="unfinished evaluations that `eta_seconds` leaves out: none of their kind has ended yet, and there "
        "was no estimate at the launch",
    )
    workers: list[str] = Field(
        default_factory=list,
        description="names of the workers that are at its tasks now, or were within the last minute",
    )
    eta_workers: int = Field(
        default=1,
        description="number of workers that `eta_seconds` counts on: those at its tasks, and until its first run is "
        "trained at least those that there were at the launch",
    )
    request: dict[str, Any] = Field(default_factory=dict, description="as posted: a launch, an import or a logged run")
    additions: list[dict[str, Any]] = Field(default_factory=list, description="requests that added runs, in order")
    owner: str | None = Field(
        default=None, description='who launched it: a token\'s name, "administrator" or "local"; null: not known'
    )
    created_at: datetime = Field(description="time of creation, UTC")


class PreflightData(Answer):
    """A data set that a launch needs, and whether it is there."""

    key: str = Field(description="key of the data set")
    params: dict[str, Any] = Field(description="its parameters, complete")
    status: Literal["ready", "embedded", "absent"] = Field(
        description="whether it is prepared; embedded: it will be at the launch"
    )
    prepare: str | None = Field(default=None, description="path to POST to, if it is absent; null: nothing is needed")


class LaunchCaution(Flag):
    """A warning that a run will carry, the field that it is about, and what would avoid it."""

    pointer: str = Field(description="JSON pointer to the field in the request")
    remedy: dict[str, Any] | None = Field(
        default=None, description="values by dotted path in the spec that avoid it; null: none is known"
    )


class Preflight(Answer):
    """Estimated cost of a launch."""

    runs: int = Field(description="number of runs; of a search that of its first ones")
    max_runs: int = Field(description="largest number of runs; above `runs` for a search alone")
    steps: int = Field(description="optimizer steps of all runs")
    steps_per_run: list[int] = Field(description="in the order of the runs")
    seconds: float | None = Field(
        description="seconds of training on the live workers; null if the speed of a run is not known"
    )
    seconds_per_run: list[float | None] = Field(description="in the order of the runs; null if not known")
    evaluation_seconds: float | None = Field(
        default=None,
        description="seconds of the evaluations on the live workers; null if that of one of them is not known",
    )
    evaluation_basis: Literal["measured", "calibrated", "mixed", "unknown"] = Field(
        default="unknown",
        description="what `evaluation_seconds` rests on; measured: finished evaluations of the same parameters, data "
        "and model; calibrated: the network's size, right within a factor of about two",
    )
    basis: Literal["measured", "calibrated", "mixed", "unknown"] = Field(description="what `seconds` rests on")
    basis_text: str = Field(description="the same, a sentence")
    memory_bytes: int | None = Field(description="largest memory of a run, without the libraries; null if not known")
    memory_formula: str = Field(description="how the memory is estimated")
    workers: int = Field(description="number of live training workers")
    broker: str = Field(description='"ok", or what is wrong')
    data: list[PreflightData] = Field(description="the data sets that the runs need")
    notes: list[str] = Field(
        default_factory=list, description="what the runs will do, and what they allow to find, in sentences"
    )
    cautions: list[LaunchCaution] = Field(
        default_factory=list, description="warnings that runs would carry, each with its field"
    )
    launchable: bool = Field(description="whether a launch would be accepted now")


class AddedGroup(Answer):
    """Runs of one regularizer and λ that would be added."""

    regularizer: str = Field(description="key of the regularizer")
    lambda_: float = Field(description="λ of the runs")
    seeds: list[int] = Field(description="seeds of the runs")
    runs: int = Field(description="number of runs; above that of the seeds where another parameter varies too")


class RunsPreflight(Answer):
    """The runs that would be added to an experiment, and their estimated cost."""

    added: list[AddedGroup] = Field(description="the new runs")
    skipped: list[int] = Field(description="requested runs that the experiment has already")
    cost: Preflight = Field(description="estimated cost of the new runs")


class AddedRuns(Answer):
    """The experiment after runs were added, and which were."""

    experiment: Experiment = Field(description="the experiment with the new runs")
    added: list[int] = Field(description="numbers of the new runs")
    skipped: list[int] = Field(description="requested runs that the experiment has already")
