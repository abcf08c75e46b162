"""What was measured of a run."""

from datetime import datetime
from typing import Any

from pydantic import Field

from backend.shared.contracts.fields import Answer
from backend.shared.contracts.work import Status


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


class MeasuredSample(Answer):
    """One image of the test split, by its index there; null where a value is not a finite number."""

    index: int
    value: float | None
    values: dict[str, float | None]  # of every array


class MeasuredSamples(Answer):
    array: str
    total: int  # how many there are, listed or not
    items: list[MeasuredSample]
