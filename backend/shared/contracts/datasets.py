"""Data sets and their preparation."""

from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from backend.shared.contracts.fields import Answer, ImageSize, Request

Side = Annotated[int, Field(ge=8, le=512)]


def _named(label: str) -> str:
    if not label.isprintable() or not any(character.isascii() and character.isalnum() for character in label):
        raise ValueError("must be printable and have a letter from a to z or a digit, from which the key is made")
    return label.strip()


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not path.isprintable() or path.startswith(("/", "~")) or "\\" in path or ".." in parts or not parts:
        raise ValueError("must be a path below the data folder, such as birds or birds.zip, without ..")
    return path


class PrepareRequest(Request):
    """Parameters of the data set to prepare; those left out take the catalog's defaults."""

    params: dict[str, Any] = Field(default_factory=dict)


class ArchiveRequest(Request):
    """What to make of one's own images, a folder for each class."""

    label: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_named)]
    image_size: Annotated[list[Side], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="height and width to which all images are cut and scaled; null: as they are"
    )
    mask_marks: Literal["object", "null"] = Field(default="object", description="what is white in the masks")
    data_seed: int = Field(default=0, ge=0, le=2**31 - 1, description="draws the splits that are not given")


class RegisterRequest(ArchiveRequest):
    """One's own images in a folder or a zip archive below the data folder."""

    path: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_inside)] = Field(
        description="of the folder or the .zip file, relative to the data folder (DENSITYLAB_DATA_DIR)"
    )


class DatasetForm(Answer):
    """A data set prepared, or being prepared, with given parameters."""

    params: dict[str, Any]
    status: Literal["ready", "preparing", "absent"]
    bytes: int | None = None
    sizes: dict[str, int] = Field(default_factory=dict)  # images per split
    data_hash: str | None = None
    task: int | None = None  # the last preparation


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
    group_names: list[str] = Field(default_factory=list)
    registered: bool = False  # a user's own images
    bytes: int | None = None
    sizes: dict[str, int] = Field(default_factory=dict)  # images per split
    class_counts: dict[str, list[int]] = Field(default_factory=dict)  # per split
    group_counts: dict[str, list[int]] = Field(default_factory=dict)  # per split
    data_hash: str | None = None
    task: int | None = None  # the last preparation
    others: list[DatasetForm] = Field(default_factory=list)  # with parameters that are not the defaults
    prepared_at: datetime | None = None


class DatasetSample(Answer):
    index: int
    label: int
    group: int | None = None
    image: str  # PNG as a data URL
    mask: str | None = None  # PNG as a data URL, white on the null half
