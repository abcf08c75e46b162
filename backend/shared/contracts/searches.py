"""Searches: launches that decide from their results what to launch next."""

from typing import Annotated, Any, Literal

from pydantic import Field

from densitylab.backend.shared.contracts.fields import Answer, Request
from densitylab.backend.shared.contracts.optuna_search import OptunaSearch, ResultName, SearchObjective, Seeds

SearchStatus = Literal["running", "finished", "stopped"]
TrialState = Literal["running", "complete", "pruned", "failed"]


class BracketSearch(Request):
    """λ by half decades, up until the accuracy budget is crossed and down until the best λ within it has a smaller
    neighbour; methods with fewer candidates than others then get more around their best. All figures that it decides by
    are means over the seeds on validation images."""

    kind: Literal["bracket"] = Field(description="the method of search")
    result: ResultName = Field(
        description="the result to optimise, `<evaluation name>.<value name>`, of an evaluation of the spec"
    )
    accuracy_budget: float = Field(
        default=0.02, ge=0, le=1, description="accuracy that a λ may lose against the baseline, a fraction"
    )
    start: float = Field(default=0.1, ge=1e-6, le=1e6, description="λ in the middle of the first three")
    seeds: Seeds = Field(default=[0, 1, 2], description="seeds of each λ, trained and judged together")
    max_candidates: int = Field(default=12, ge=3, le=50, description="largest number of λ of a method")


Search = Annotated[BracketSearch | OptunaSearch, Field(discriminator="kind")]


class SearchCandidate(Answer):
    """One λ of a method, or one trial, with its means over seeds on validation images."""

    number: int | None = Field(default=None, description="number of the trial, from 0; null: it is no trial")
    settings: dict[str, Any] = Field(description="what tells the method from the others, by dotted path of the spec")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="what the search varied, by dotted path of the spec"
    )
    lambda_: float = Field(description="its λ")
    runs: list[int] = Field(description="numbers of its runs, one per seed")
    state: TrialState = Field(
        default="running", description="pruned: it fell behind earlier trials, and its training was stopped"
    )
    reason: str = Field(default="", description="why it was tried, pruned or failed, a sentence; empty: nothing to say")
    accuracy: float | None = Field(description="mean validation accuracy; null: not known")
    value: float | None = Field(description="mean of the result on validation images; null: not known")
    values: list[float | None] = Field(
        default_factory=list, description="means of all objectives on validation images, in their order"
    )
    within_budget: bool | None = Field(
        description="whether the accuracy is within the budget; null: not known yet, or there is no budget"
    )
    best: bool = Field(
        description="whether it is the best of its method within the budget so far; of several objectives, whether no "
        "other trial is at least as good in all and better in one"
    )


class SearchMethod(Answer):
    """A method of the search: what comes next, and why."""

    settings: dict[str, Any] = Field(description="what tells it from the others, by dotted path of the spec")
    next: list[float] = Field(description="λ that come next; empty: none, or runs are not done, or no λ is searched")
    reason: str = Field(description="why, a sentence")
    done: bool = Field(description="whether it needs no further λ")


class SearchProgress(Answer):
    """What a search has tried, and what comes next."""

    kind: str = Field(description="the method of search")
    status: SearchStatus = Field(description="its state")
    reason: str = Field(description="why it has this state, a sentence")
    result: str = Field(description="the result that it optimises, the first of several")
    objectives: list[SearchObjective] = Field(default_factory=list, description="all results that it optimises")
    accuracy_budget: float | None = Field(
        description="accuracy that a λ may lose against the baseline; null: there is no budget"
    )
    baseline_accuracy: float | None = Field(description="mean validation accuracy of the baseline; null: not known yet")
    methods: list[SearchMethod] = Field(description="the methods, in the order of the launch")
    candidates: list[SearchCandidate] = Field(description="all λ tried, by method and λ, or all trials")
    runs: int = Field(description="number of runs so far")
    max_runs: int = Field(description="largest number of runs that it may launch")
    max_seconds_left: float | None = Field(
        default=None,
        description="seconds for the runs up to `max_runs` at the pace of those that are done; null: none is done",
    )


class SearchSummary(Answer):
    """The state of an experiment's search."""

    kind: str = Field(description="the method of search")
    status: SearchStatus = Field(description="its state")
    reason: str = Field(description="why it has this state, a sentence")
