"""Searches with Optuna: which parameters are searched, which results are optimised, and how trials are chosen."""

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from densitylab.backend.shared.contracts.fields import IN_LISTS, Request
from densitylab.backend.shared.contracts.spec import MAX_RUNS_PER_EXPERIMENT

Seeds = Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1), IN_LISTS]], Field(min_length=1, max_length=50)]
ResultName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+\.[A-Za-z0-9_]+$", max_length=130)]
SpecPath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$", max_length=200)]
Choice = Annotated[Any, WithJsonSchema({"type": ["boolean", "number", "string", "null"]})]
_PATH = Field(description="dotted path of the spec, such as `lambda_` or `optimizer.params.lr`")


class NumberRange(Request):
    """A number between two bounds, both included."""

    type: Literal["number"] = Field(description="kind of the range")
    path: SpecPath = _PATH
    low: float = Field(description="smallest value")
    high: float = Field(description="largest value, above `low`")
    log: bool = Field(default=False, description="whether it is drawn on a logarithmic scale; `low` is then above 0")
    step: float | None = Field(
        default=None, gt=0, description="distance of the values from `low` on; null: any; none on a logarithmic scale"
    )


class IntegerRange(Request):
    """A whole number between two bounds, both included."""

    type: Literal["integer"] = Field(description="kind of the range")
    path: SpecPath = _PATH
    low: int = Field(ge=-(2**31), le=2**31 - 1, description="smallest value")
    high: int = Field(ge=-(2**31), le=2**31 - 1, description="largest value, above `low`")
    log: bool = Field(default=False, description="whether it is drawn on a logarithmic scale; `low` is then above 0")
    step: int = Field(
        default=1, ge=1, le=2**31 - 1, description="distance of the values from `low` on; 1 on a logarithmic scale"
    )


class Choices(Request):
    """One of several values without an order."""

    type: Literal["choice"] = Field(description="kind of the range")
    path: SpecPath = _PATH
    choices: list[Choice] = Field(
        min_length=2, max_length=50, description="different numbers, texts, true, false or null"
    )


SearchParameter = Annotated[NumberRange | IntegerRange | Choices, Field(discriminator="type")]


class SearchObjective(Request):
    """A result to optimise, by its mean over the seeds on validation images."""

    result: ResultName = Field(description="`<evaluation name>.<value name>`, of an evaluation of the spec")
    direction: Literal["maximize", "minimize"] = Field(description="whether more or less of it is better")


class MedianPruning(Request):
    """Stops a trial after an epoch at which the best value of its curve so far is worse than the median of the complete
    trials of earlier batches at that epoch. The curve is measured on validation images after each epoch; with several
    seeds it is their mean."""

    metric: Literal["validation_accuracy", "validation_cross_entropy", "validation_worst_group"] = Field(
        default="validation_accuracy", description="curve to compare; cross-entropy: less is better"
    )
    startup_trials: int = Field(
        default=5, ge=1, le=MAX_RUNS_PER_EXPERIMENT, description="complete trials before any is pruned"
    )
    warmup_epochs: int = Field(default=0, ge=0, le=10_000, description="first epochs, which are not judged")


class OptunaSearch(Request):
    """Any parameters of the spec, searched by Optuna for the best of up to three results, in batches: the next one is
    proposed when all trials of the last one have ended. A trial is a run for each seed; its figures are means over the
    seeds on validation images."""

    kind: Literal["optuna"] = Field(description="the method of search")
    parameters: list[SearchParameter] = Field(min_length=1, max_length=20, description="the parameters to search")
    objectives: list[SearchObjective] = Field(
        min_length=1, max_length=3, description="the results to optimise; of several the Pareto front is searched"
    )
    trials: int = Field(
        default=30, ge=1, le=MAX_RUNS_PER_EXPERIMENT, description="number of trials, each another combination"
    )
    parallel: int = Field(default=4, ge=1, le=100, description="trials of a batch")
    seeds: Seeds = Field(default=[0], description="seeds of each trial, trained and judged together")
    sampler: Literal["tpe", "random"] = Field(
        default="tpe", description="tree-structured Parzen estimator, also for several objectives; or at random"
    )
    sampler_seed: int = Field(default=0, ge=0, le=2**31 - 1, description="seed of the proposals")
    startup_trials: int = Field(
        default=10,
        ge=1,
        le=MAX_RUNS_PER_EXPERIMENT,
        description="ended trials that the sampler needs; at random until then",
    )
    pruning: MedianPruning | None = Field(
        default=None, description="ends hopeless trainings early; for one objective alone; null: every trial is trained"
    )
