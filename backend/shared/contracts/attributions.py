"""Maps of the same images under several runs."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from densitylab.backend.shared.contracts.fields import IN_LISTS, Answer, Id, Key, Request
from densitylab.backend.shared.contracts.spec import Component
from densitylab.backend.shared.contracts.work import Status

MAX_SAMPLES_PER_ATTRIBUTION = 64
MAX_RUNS_PER_ATTRIBUTION = 6
Split = Literal["test", "validation", "train"]
SampleSource = Literal["test", "validation", "train", "upload"]


class Samples(Request):
    """Images by their indices in a split, the same for every run of a data set with the same data seed; in the split
    "upload", uploaded images by their ids."""

    split: SampleSource = Field(default="test", description="the split, or `upload`")
    indices: list[Annotated[int, Field(ge=0, le=2**31 - 1), IN_LISTS]] = Field(
        min_length=1, max_length=MAX_SAMPLES_PER_ATTRIBUTION, description="indices in the split, or numbers of uploads"
    )


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]


class AttributionRequest(Request):
    """Maps of the same images under several runs, and optionally of the perturbed images under each.

    `target`: "label", "predicted", or a class index; determined on the clean image, also for the perturbed one.
    """

    runs: list[Id] = Field(min_length=1, max_length=MAX_RUNS_PER_ATTRIBUTION, description="numbers of the runs")
    method: Key = Field(default="gradient", description="key of the attribution method")
    params: dict[str, Any] = Field(
        default_factory=dict, description="its parameters; those left out take the catalog's defaults"
    )
    samples: Samples = Field(description="the images")
    target: Literal["label", "predicted"] | Annotated[int, Field(ge=0, le=2**31 - 1)] = Field(
        default="label",
        description="the class whose score is attributed: the label (default), the predicted class, or a class by its "
        "index",
        # Generators give a default to each alternative, and no number is a label
        json_schema_extra=_without_default,
    )
    perturbation: Component | None = Field(default=None, description="perturbation of the images; null: none")


class View(Answer):
    """Prediction and map of one run for one image."""

    predicted: int = Field(description="index of the predicted class")
    confidence: float = Field(description="softmax probability of the predicted class")
    log_density: float | None = Field(
        default=None, description="logsumexp of the logits: log p(x) up to a constant of the run; null: not computed"
    )
    leakage: float | None = Field(default=None, description="L2 norm of the map on the null mask; null without a mask")
    leakage_share: float | None = Field(
        default=None, description="share of the map's squared norm on the null mask; null where the map is zero"
    )
    zero: bool = Field(default=False, description="whether the map is zero everywhere")
    nan: bool = Field(default=False, description="whether the map has a value that is not finite")


class PerturbedView(View):
    """The same for the perturbed image, with the distance between the images and the similarity of the maps."""

    delta_l2: float = Field(description="L2 norm of the image's change, [0, 1] pixel units")
    delta_linf: float = Field(description="L∞ norm of the image's change, [0, 1] pixel units")
    similarity: dict[str, float | None] = Field(
        default_factory=dict, description="similarity of the two maps by metric; null: not defined"
    )


class Panel(View):
    """One run's view of one image, in the order of the request's indices."""

    run: int = Field(description="number of the run")
    index: int = Field(description="index of the image in its split, or number of the upload")
    label: int | None = Field(description="index of its class; null for an uploaded image")
    target: int = Field(description="index of the class whose score is attributed")
    perturbed: PerturbedView | None = Field(
        default=None, description="the same for the perturbed image; null without a perturbation"
    )


class Attribution(Answer):
    """A request for maps: its state and, once computed, its panels."""

    id: int = Field(description="number of the request for maps")
    status: Status = Field(description="its state")
    error: str | None = Field(default=None, description="why it failed; null: it did not")
    runs: list[int] = Field(description="numbers of the runs, in the order of the panels")
    method: str = Field(description="key of the attribution method")
    params: dict[str, Any] = Field(description="its parameters, complete")
    samples: Samples = Field(description="the images")
    target: Literal["label", "predicted"] | int = Field(description="as requested")
    perturbation: Component | None = Field(default=None, description="as requested, complete")
    limit: float | None = Field(
        default=None,
        description="limit of the colours, shared by all panels: 99th percentile of |map|; null: not computed yet",
    )
    panels: list[Panel] = Field(default_factory=list, description="one per run and image")
    data_hash: str | None = Field(default=None, description="SHA-256 of the prepared images")
    seconds: float | None = Field(default=None, description="computing time; null: not computed yet")
    task: int = Field(description="number of its task")
    created_at: datetime = Field(description="time of creation, UTC")


class AttributionCost(Answer):
    """Estimated cost of maps."""

    kept: bool = Field(description="whether the maps are stored already")
    passes: int = Field(description="number of forward and backward passes of one image each")
    seconds: float | None = Field(description="estimated computing time; null if the model's speed is not known")
    basis: Literal["measured", "calibrated", "unknown"] = Field(
        description="what the estimate rests on: earlier maps of the same model, the model's size, or nothing"
    )
