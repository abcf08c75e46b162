"""Data sets and their preparation."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from backend.shared.contracts.fields import Answer, ImageSize, Request


class PrepareRequest(Request):
    """Parameters of the data set to prepare; those left out take the catalog's defaults."""

    params: dict[str, Any] = Field(default_factory=dict)


class Dataset(Answer):
    key: str
    label: str
    summary: str
    status: Literal["ready", "preparing", "absent"]
    embedded: bool
    num_classes: int
    class_names: list[str]
    channels: int
    image_size: ImageSize
    has_mask: bool
    has_groups: bool
    bytes: int | None = None
    sizes: dict[str, int] = Field(default_factory=dict)  # images per split
    class_counts: dict[str, list[int]] = Field(default_factory=dict)  # per split
    data_hash: str | None = None
    task: int | None = None  # the last preparation
    prepared_at: datetime | None = None


class DatasetSample(Answer):
    index: int
    label: int
    group: int | None = None
    image: str  # PNG as a data URL
    mask: str | None = None  # PNG as a data URL, white on the null half
