"""Searches: launches that decide from their results what to launch next."""

from typing import Annotated, Any, Literal

from pydantic import Field

from densitylab.backend.shared.contracts.fields import IN_LISTS, Answer, Request

Seeds = Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1), IN_LISTS]], Field(min_length=1, max_length=50)]
SearchStatus = Literal["running", "finished", "stopped"]


class BracketSearch(Request):
    """λ by half decades, up until the accuracy budget is crossed and down until the best λ within it has a smaller
    neighbour; methods with fewer candidates than others then get more around their best. All figures that it decides by
    are means over the seeds on validation images."""

    kind: Literal["bracket"] = Field(description="the method of search")
    result: str = Field(
        pattern=r"^[A-Za-z0-9_]+\.[A-Za-z0-9_]+$",
        max_length=130,
        description="the result to optimise, `<evaluation name>.<value name>`, of an evaluation of the spec",
    )
    accuracy_budget: float = Field(
        default=0.02, ge=0, le=1, description="accuracy that a λ may lose against the baseline, a fraction"
    )
    start: float = Field(default=0.1, ge=1e-6, le=1e6, description="λ in the middle of the first three")
    seeds: Seeds = Field(default=[0, 1, 2], description="seeds of each λ, trained and judged together")
    max_candidates: int = Field(default=12, ge=3, le=50, description="largest number of λ of a method")


Search = BracketSearch


class SearchCandidate(Answer):
    """One λ of a method, with its means over seeds on validation images."""

    settings: dict[str, Any] = Field(description="what tells the method from the others, by dotted path of the spec")
    lambda_: float = Field(description="its λ")
    runs: list[int] = Field(description="numbers of its runs, one per seed")
    accuracy: float | None = Field(description="mean validation accuracy; null: not known")
    value: float | None = Field(description="mean of the result on validation images; null: not known")
    within_budget: bool | None = Field(description="whether the accuracy is within the budget; null: not known yet")
    best: bool = Field(description="whether it is the best of its method within the budget so far")


class SearchMethod(Answer):
    """A method of the search: what comes next, and why."""

    settings: dict[str, Any] = Field(description="what tells it from the others, by dotted path of the spec")
    next: list[float] = Field(description="λ that come next; empty: none, or its runs are not done")
    reason: str = Field(description="why, a sentence")
    done: bool = Field(description="whether it needs no further λ")


class SearchProgress(Answer):
    """What a search has tried, and what comes next."""

    kind: str = Field(description="the method of search")
    status: SearchStatus = Field(description="its state")
    reason: str = Field(description="why it has this state, a sentence")
    result: str = Field(description="the result that it optimises")
    accuracy_budget: float = Field(description="accuracy that a λ may lose against the baseline")
    baseline_accuracy: float | None = Field(description="mean validation accuracy of the baseline; null: not known yet")
    methods: list[SearchMethod] = Field(description="the methods, in the order of the launch")
    candidates: list[SearchCandidate] = Field(description="all λ tried, by method and λ")
    runs: int = Field(description="number of runs so far")
    max_runs: int = Field(description="largest number of runs that it may launch")


class SearchSummary(Answer):
    """The state of an experiment's search."""

    kind: str = Field(description="the method of search")
    status: SearchStatus = Field(description="its state")
    reason: str = Field(description="why it has this state, a sentence")
