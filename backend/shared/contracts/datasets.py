"""Data sets and their preparation."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from densitylab.backend.shared.contracts.fields import Answer, ImageSize, Request


class Attribute(Answer):
    """A property of every image of a data set, such as its background."""

    name: str = Field(description="its name")
    values: list[str] = Field(description="names of its values, in order")


class PrepareRequest(Request):
    """Parameters of the data set to prepare; those left out take the catalog's defaults."""

    params: dict[str, Any] = Field(
        default_factory=dict, description="parameters of the data set; those left out take the catalog's defaults"
    )


class DatasetVariant(Answer):
    """A prepared variant of a data set: its state with given parameters."""

    params: dict[str, Any] = Field(description="parameters of the data set")
    status: Literal["ready", "preparing", "absent"] = Field(description="whether it is prepared")
    bytes: int | None = Field(default=None, description="stored size; null: not prepared")
    sizes: dict[str, int] = Field(default_factory=dict, description="number of images by split")
    data_hash: str | None = Field(default=None, description="SHA-256 of the prepared images")
    task: int | None = Field(default=None, description="number of the last preparation's task; null: none")


class Dataset(Answer):
    """A data set and the state of its default variant."""

    key: str = Field(description="key of the catalog entry")
    label: str = Field(description="name for people")
    summary: str = Field(description="what it is, a sentence")
    status: Literal["ready", "preparing", "absent"] = Field(
        description="whether it is prepared with its default parameters"
    )
    embedded: bool = Field(description="whether it needs no download")
    num_classes: int = Field(description="number of classes")
    class_names: list[str] = Field(description="names of the classes, in the order of the labels")
    channels: int = Field(description="number of channels, 1 or 3")
    image_size: ImageSize = Field(description="height and width")
    has_mask: bool = Field(description="whether its images have masks of the null region")
    has_groups: bool = Field(description="whether its images have groups")
    group_names: list[str] = Field(default_factory=list, description="names of the groups, in their order")
    attributes: list[Attribute] = Field(
        default_factory=list, description="properties of its images that groups can be made of"
    )
    registered: bool = Field(default=False, description="whether a user registered it")
    owner: str | None = Field(
        default=None, description='who registered it: a token\'s name, "administrator" or "local"; null: not known'
    )
    bytes: int | None = Field(default=None, description="stored size; null: not prepared")
    sizes: dict[str, int] = Field(default_factory=dict, description="number of images by split")
    class_counts: dict[str, list[int]] = Field(default_factory=dict, description="images of each class by split")
    group_counts: dict[str, list[int]] = Field(default_factory=dict, description="images of each group by split")
    data_hash: str | None = Field(default=None, description="SHA-256 of the prepared images")
    task: int | None = Field(default=None, description="number of the last preparation's task; null: none")
    others: list[DatasetVariant] = Field(
        default_factory=list, description="variants with other parameters than the defaults"
    )
    prepared_at: datetime | None = Field(default=None, description="end of the preparation, UTC; null: not prepared")


class DatasetSample(Answer):
    """An image of a data set."""

    index: int = Field(description="index of the image in the split")
    label: int = Field(description="index of its class")
    group: int | None = Field(default=None, description="index of its group; null: the data set has none")
    image: str = Field(description="the image, PNG as a data URL")
    mask: str | None = Field(default=None, description="mask, PNG as a data URL, white on the null region; null: none")
