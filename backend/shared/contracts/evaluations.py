"""Evaluations of a run, and their results."""

from datetime import datetime
from typing import Any

from pydantic import Field

from densitylab.backend.shared.contracts.fields import Answer, EvaluationSplit
from densitylab.backend.shared.contracts.work import Status


class Value(Answer):
    """A metric with its 95 % interval over n; `low` and `high` are null if none is defined."""

    value: float | None = Field(description="the number; null: not finite or not defined")
    low: float | None = Field(default=None, description="lower bound of the 95 % interval")
    high: float | None = Field(default=None, description="upper bound of the 95 % interval")
    n: int = Field(default=0, description="number of images, or of what the value averages")
    higher_is_better: bool | None = Field(default=None, description="whether a higher value is better; null: neither")


class Curve(Answer):
    """Values over x, with 95 % intervals if they are defined."""

    x: list[float] = Field(description="horizontal positions")
    y: list[float | None] = Field(description="values; null: not defined")
    low: list[float | None] | None = Field(default=None, description="lower bounds of the 95 % intervals; null: none")
    high: list[float | None] | None = Field(default=None, description="upper bounds of the 95 % intervals; null: none")
    x_label: str = Field(default="", description="name of x")
    y_label: str = Field(default="", description="name of y")


class Flag(Answer):
    """A warning about a result: a stable key and a sentence."""

    key: str = Field(description="stable name of the warning")
    text: str = Field(description="the warning, a sentence")


class Evaluation(Answer):
    """An evaluation of a run: its state and, once computed, its results."""

    id: int = Field(description="number of the evaluation")
    run: int = Field(description="number of the run")
    name: str = Field(description="unique in the run")
    key: str = Field(description="key of the catalog entry")
    split: EvaluationSplit = Field(default="test", description="images that it runs on")
    params: dict[str, Any] = Field(description="its parameters, complete")
    status: Status = Field(description="its state")
    progress: float = Field(default=0.0, description="0 to 1")
    error: str | None = Field(default=None, description="why it failed; null: it did not")
    values: dict[str, Value] = Field(default_factory=dict, description="results by name")
    curves: dict[str, Curve] = Field(default_factory=dict, description="curves by name")
    flags: list[Flag] = Field(default_factory=list, description="warnings about the results")
    seconds: float | None = Field(default=None, description="computing time; null: not computed yet")
    task: int = Field(description="number of its task")
    created_at: datetime = Field(description="time of creation, UTC")
    provenance: dict[str, Any] = Field(
        default_factory=dict, description="versions of the code and packages, and hashes"
    )


class SampleValue(Answer):
    """One image of the evaluation's split, by its index; a value that is not a finite number is null."""

    index: int = Field(description="index of the image in the split")
    value: float | None = Field(description="value of the array that was asked for")
    values: dict[str, float | None] = Field(description="values of every array by its name")


class SampleValues(Answer):
    """Images with their values of an evaluation."""

    split: EvaluationSplit = Field(default="test", description="split of the images")
    array: str = Field(description="name of the array")
    total: int = Field(description="number of matching images, listed or not")
    items: list[SampleValue] = Field(description="the images of this answer, in order")
