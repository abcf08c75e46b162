"""log p along a line and on a plane through an image, under several runs."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from backend.shared.contracts.attributions import MAX_RUNS_PER_ATTRIBUTION, SampleSource
from backend.shared.contracts.fields import Answer, Id, Request
from backend.shared.contracts.work import Status

Index = Annotated[int, Field(ge=0, le=2**31 - 1)]


class DensityRequest(Request):
    """log p(x + t·d) under several runs, and on the plane of d and a random direction at right angles to it."""

    runs: list[Id] = Field(min_length=1, max_length=MAX_RUNS_PER_ATTRIBUTION)
    split: SampleSource = "test"
    index: Index
    direction: Literal["gradient", "random", "image"] = "gradient"  # the gradient is each run's own
    towards: Index | None = None  # with the direction "image": another image of the split
    extent: float = Field(default=5.0, gt=0, le=1000, description="the largest |t|: L2 in [0, 1] pixel units")
    steps: int = Field(default=41, ge=3, le=201, description="points of a line, and of each side of the plane up to 41")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of the random directions")


class DensityOfRun(Answer):
    """One run's log p, up to a constant of its own; null where it is not a finite number."""

    run: int
    at_image: float | None
    slope: float | None  # ‖∇ log p(x)‖₂
    curve: list[float | None]
    plane: list[list[float | None]]  # rows: the random direction, columns: the chosen one


class Density(Answer):
    id: int
    status: Status
    error: str | None = None
    request: DensityRequest
    distances: list[float] = Field(default_factory=list)  # of the curves
    sides: list[float] = Field(default_factory=list)  # of the planes, both ways
    of_runs: list[DensityOfRun] = Field(default_factory=list)
    task: int
    created_at: datetime
