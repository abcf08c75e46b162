"""Maps of the same images under several runs."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from backend.shared.contracts.fields import Answer, Id, Key, Request
from backend.shared.contracts.spec import Component
from backend.shared.contracts.work import Status

MAX_SAMPLES_PER_ATTRIBUTION = 64
MAX_RUNS_PER_ATTRIBUTION = 6
Split = Literal["test", "validation", "train"]
SampleSource = Literal["test", "validation", "train", "upload"]


class Samples(Request):
    """Images by their indices in a split, the same for every run of a data set with the same data seed; or, of the
    split "upload", images that somebody brought, by their ids."""

    split: SampleSource = "test"
    indices: list[Annotated[int, Field(ge=0, le=2**31 - 1)]] = Field(
        min_length=1, max_length=MAX_SAMPLES_PER_ATTRIBUTION
    )


class AttributionRequest(Request):
    """Maps of the same images under several runs, and of what a perturbation makes of them under each.

    `target`: "label", "predicted", or a class index; of the clean image, and the same for the perturbed one.
    """

    runs: list[Id] = Field(min_length=1, max_length=MAX_RUNS_PER_ATTRIBUTION)
    method: Key = "gradient"
    params: dict[str, Any] = Field(default_factory=dict)
    samples: Samples
    target: Literal["label", "predicted"] | Annotated[int, Field(ge=0, le=2**31 - 1)] = "label"
    perturbation: Component | None = None


class View(Answer):
    """What one run says of one image."""

    predicted: int
    confidence: float  # softmax probability of the predicted class
    log_density: float | None = None  # logsumexp of the logits: log p(x) up to a constant of the run's own
    leakage: float | None = None  # L2 norm of the map on the null mask; null without a mask
    leakage_share: float | None = None  # squared share; null where the map is zero
    zero: bool = False
    nan: bool = False


class PerturbedView(View):
    """The same of the perturbed image, and how far image and map went."""

    delta_l2: float  # norms of the image's change, [0, 1] pixel units
    delta_linf: float
    similarity: dict[str, float | None] = Field(default_factory=dict)  # of the two maps, by measure; null: not defined


class Panel(View):
    """One run's view of one image, in the order of the request's indices."""

    run: int
    index: int
    label: int | None  # null for an image that somebody brought
    target: int
    perturbed: PerturbedView | None = None


class Attribution(Answer):
    id: int
    status: Status
    error: str | None = None
    runs: list[int]
    method: str
    params: dict[str, Any]
    samples: Samples
    target: Literal["label", "predicted"] | int
    perturbation: Component | None = None
    limit: float | None = None  # the shared colour limit: 99th percentile of |map| pooled over all panels
    panels: list[Panel] = Field(default_factory=list)
    data_hash: str | None = None
    seconds: float | None = None
    task: int
    created_at: datetime


class AttributionCost(Answer):
    """What maps would cost, before they are drawn."""

    kept: bool  # they are there already
    passes: int  # forward and backward passes of one image each
    seconds: float | None  # null where the model's pace is not known
    basis: Literal["measured", "calibrated", "unknown"]  # by the same model's maps, by its size, or not at all
