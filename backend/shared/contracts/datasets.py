"""Data sets and their preparation."""

from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from densitylab.backend.shared.contracts.fields import Answer, ImageSize, Request

Side = Annotated[int, Field(ge=8, le=512)]


def _named(label: str) -> str:
    if not label.isprintable() or not any(character.isascii() and character.isalnum() for character in label):
        raise ValueError("must be printable, with a letter from a to z or a digit, from which the key is derived")
    return label.strip()


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not path.isprintable() or path.startswith(("/", "~")) or "\\" in path or ".." in parts or not parts:
        raise ValueError("must be a path below the data folder, such as birds or birds.zip, without ..")
    return path


class PrepareRequest(Request):
    """Parameters of the data set to prepare; those left out take the catalog's defaults."""

    params: dict[str, Any] = Field(
        default_factory=dict, description="parameters of the data set; those left out take the catalog's defaults"
    )


class ArchiveRequest(Request):
    """Request to register your own images, one folder per class."""

    label: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_named)] = Field(
        description="name for people, from which the key is derived"
    )
    image_size: Annotated[list[Side], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="height and width to which all images are cropped and resized; null: keep their size"
    )
    mask_marks: Literal["object", "null"] = Field(
        default="object", description="meaning of white in the masks: the object or the null region"
    )
    data_seed: int = Field(default=0, ge=0, le=2**31 - 1, description="seed of the splits that are not given")


class RegisterRequest(ArchiveRequest):
    """Request to register your own images in a folder or zip archive below the data folder."""

    path: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_inside)] = Field(
        description="path of the folder or .zip file, relative to the data folder (DENSITYLAB_DATA_DIR)"
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
