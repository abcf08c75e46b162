"""log p along a line and on a plane through an image, under several runs."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from densitylab.backend.shared.contracts.attributions import MAX_RUNS_PER_ATTRIBUTION, SampleSource
from densitylab.backend.shared.contracts.fields import Answer, Id, Request
from densitylab.backend.shared.contracts.work import Status

Index = Annotated[int, Field(ge=0, le=2**31 - 1)]


class DensityRequest(Request):
    """log p(x + t·d) under several runs, and on the plane of d and an orthogonal random direction."""

    runs: list[Id] = Field(min_length=1, max_length=MAX_RUNS_PER_ATTRIBUTION, description="numbers of the runs")
    split: SampleSource = Field(default="test", description="the split, or `upload`")
    index: Index = Field(description="index of the image in the split, or number of the upload")
    direction: Literal["gradient", "random", "image"] = Field(
        default="gradient", description="direction of the line; the gradient is each run's own"
    )
    towards: Index | None = Field(default=None, description='with the direction "image": another image of the split')
    extent: float = Field(default=5.0, gt=0, le=1000, description="largest |t|: L2 distance in [0, 1] pixel units")
    steps: int = Field(
        default=41, ge=3, le=201, description="points of the line, and of each side of the plane up to 41"
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="seed of the random directions")


class DensityOfRun(Answer):
    """One run's log p, up to a constant of the run; values that are not finite are null."""

    run: int = Field(description="number of the run")
    at_image: float | None = Field(description="log p at the image")
    slope: float | None = Field(description="‖∇ log p(x)‖₂ at the image")
    curve: list[float | None] = Field(description="log p at each distance")
    plane: list[list[float | None]] = Field(
        description="log p on the plane; rows: along the random direction, columns: along the chosen one"
    )


class Density(Answer):
    """A request for densities: its state and, once computed, its values."""

    id: int = Field(description="number of the request for densities")
    status: Status = Field(description="its state")
    error: str | None = Field(default=None, description="why it failed; null: it did not")
    request: DensityRequest = Field(description="as posted, complete")
    distances: list[float] = Field(
        default_factory=list, description="L2 distances of the curves' points from the image"
    )
    sides: list[float] = Field(
        default_factory=list, description="L2 distances of the planes' rows and columns from the image"
    )
    of_runs: list[DensityOfRun] = Field(default_factory=list, description="one per run, in the order of the request")
    task: int = Field(description="number of its task")
    created_at: datetime = Field(description="time of creation, UTC")
