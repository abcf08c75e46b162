"""Origin of the weights of a run."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from densitylab.backend.shared.contracts.fields import Answer

ChannelOrder = Literal["rgb", "bgr"]
ValueRange = Literal["unit", "byte"]


class Origin(StrEnum):
    """Origin of the weights of a run."""

    TRAINED = "trained"  # by a worker
    IMPORTED = "imported"  # from a file, or published by torchvision or timm
    LOGGED = "logged"  # by a training loop of the user's own


# Parts of a spec that are known of a model that was trained elsewhere
KNOWN_ELSEWHERE = frozenset({"dataset", "model", "interface", "evaluations"})


class NormalizationTrial(Answer):
    """Accuracy of an imported network under one way to normalise its images."""

    name: str = Field(description="name of the statistics: `imagenet`, `dataset`, `half`, `none` or `given`")
    label: str = Field(description="the same in words, with channel order and range of values")
    mean: list[float] = Field(description="subtracted, per channel of the network")
    std: list[float] = Field(description="divided by, per channel of the network")
    channel_order: ChannelOrder = Field(description="order of the channels that the network gets")
    value_range: ValueRange = Field(description="unit: values in [0, 1]; byte: 0 to 255")
    n: int = Field(description="number of images: fewer for a way that was clearly worse")
    accuracy: float = Field(description="share of the images that are classified correctly")
    low: float = Field(description="lower end of the accuracy's 95 % interval")
    high: float = Field(description="upper end of the accuracy's 95 % interval")


class NormalizationCheck(Answer):
    """Accuracies of an imported network under the usual normalisations, on the same images."""

    chosen: int = Field(description="index of the trial whose normalisation the run uses")
    decided: bool = Field(description="whether the chosen one is significantly better than every other way")
    summary: str = Field(description="outcome, in a sentence")
    split: str = Field(description="split of the images")
    n: int = Field(description="number of images; the network may have been trained on some of them")
    trials: list[NormalizationTrial] = Field(description="one per way, the best first")


class RunSource(Answer):
    """The file that an imported run's weights come from, and how it was read."""

    file_name: str = Field(description="name of the file, or of the published weights")
    sha256: str | None = Field(default=None, description="hash of the file; null: published weights, not a file")
    bytes: int | None = Field(default=None, description="size of the file; null: published weights")
    text: str = Field(default="", description="source in the user's words, such as a paper or an address")
    format: str = Field(default="", description="format of the file")
    weights_key: str = Field(default="", description="part of the file that has the weights; empty: the whole")
    removed_prefix: str = Field(default="", description="prefix removed from the names of the weights")
    missing: list[str] = Field(default_factory=list, description="weights of the network that the file lacks")
    unexpected: list[str] = Field(default_factory=list, description="weights of the file that the network lacks")
    normalization_check: NormalizationCheck | None = Field(
        default=None, description="accuracies under the usual normalisations; null: not checked"
    )
