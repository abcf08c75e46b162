"""Registration of users' own images, and the preview of it."""

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from densitylab.backend.shared.contracts.datasets import Attribute
from densitylab.backend.shared.contracts.fields import Answer, Id, Request, storable

Side = Annotated[int, Field(ge=8, le=512)]
ColumnName = Annotated[str, Field(max_length=200), AfterValidator(storable)]
Split = Literal["train", "validation", "test"]


def _named(label: str) -> str:
    if not label.isprintable() or not any(character.isascii() and character.isalnum() for character in label):
        raise ValueError("must be printable, with a letter from a to z or a digit, from which the key is derived")
    return label.strip()


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not path.isprintable() or path.startswith(("/", "~")) or "\\" in path or ".." in parts or not parts:
        raise ValueError("must be a path below the data folder, such as birds or birds.zip, without ..")
    return path


class ImageColumns(Request):
    """Columns of a table, or arrays, by what they hold. Null: recognised by its name; empty: there is none."""

    image: ColumnName | None = Field(default=None, description="files of the images, or the images themselves")
    label: ColumnName | None = Field(default=None, description="class: names or whole numbers")
    split: ColumnName | None = Field(default=None, description="train, validation or test, or 0, 1 and 2")
    mask: ColumnName | None = Field(default=None, description="files of the masks, or the masks themselves")
    group: ColumnName | None = Field(default=None, description="the group, where a column says it itself")
    attributes: Annotated[list[ColumnName], Field(max_length=64)] | None = Field(
        default=None, description="properties of the images; null: the columns of up to 20 different values"
    )


class PreviewArchiveRequest(Request):
    """Options for reading your own images."""

    image_size: Annotated[list[Side], Field(min_length=2, max_length=2)] | None = Field(
        default=None,
        description="height and width to which all images are cropped, around their centre, and resized; null: keep "
        "their size",
    )
    mask_marks: Literal["object", "null"] = Field(
        default="object", description="meaning of white in the masks: the object or the null region"
    )
    data_seed: int = Field(default=0, ge=0, le=2**31 - 1, description="seed of the splits that are not given")
    table: Annotated[ColumnName, Field(min_length=1)] | None = Field(
        default=None,
        description="name of the table that lists the images (CSV, TSV, JSON lines, Parquet); null: recognised",
    )
    columns: ImageColumns = Field(
        default_factory=ImageColumns, description="columns of the table, where they should not be recognised"
    )
    pattern: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(storable)] | None = Field(
        default=None,
        description="pattern of the images' paths with {label} and, optionally, {split} and attributes, such as "
        "{label}/{place}/*; null: none",
    )
    split_values: Annotated[dict[str, Split], Field(max_length=100)] = Field(
        default_factory=dict, description="split that a value of the split column means, where it is none of the usual"
    )
    class_names: Annotated[list[Annotated[str, Field(max_length=200)]], Field(min_length=2, max_length=1000)] | None = (
        Field(default=None, description="names of the classes, in the order of the labels; null: the labels")
    )
    group_by: Annotated[list[ColumnName], Field(max_length=8)] | None = Field(
        default=None,
        description="attributes whose values, crossed with the label, are the groups; empty: no groups; null: all "
        "attributes for up to 32 groups, else the first",
    )


class ImageSource(Request):
    """Where images are; exactly one is given."""

    path: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_inside)] | None = Field(
        default=None,
        description="path of the folder, .zip or .npz file, relative to the data folder (DENSITYLAB_DATA_DIR)",
    )
    preview: Id | None = Field(default=None, description="number of the preview whose uploaded archive to read")
    hub: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$", max_length=200)] | None = Field(
        default=None, description="data set on the Hugging Face Hub, as owner/name; needs internet on the workers"
    )


class PreviewRequest(ImageSource, PreviewArchiveRequest):
    """Request to read your own images in the data folder, in an uploaded archive or on the Hugging Face Hub, without
    registering them."""


class ArchiveRequest(PreviewArchiveRequest):
    """Request to register your own images."""

    label: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_named)] = Field(
        description="name for people, from which the key is derived"
    )


class RegisterRequest(ImageSource, ArchiveRequest):
    """Request to register your own images in the data folder, in a previewed archive or on the Hugging Face Hub."""


class PreviewColumn(Answer):
    """A column of a table, or an array, and what it was recognised as."""

    name: str = Field(description="its name")
    role: Literal["image", "label", "split", "mask", "group", "attribute"] | None = Field(
        description="what it holds; null: it is passed over"
    )
    distinct: int | None = Field(description="number of different values; null: not counted")
    examples: list[str] = Field(description="the first different values")
    reason: str = Field(description="why it is passed over; empty: it is not")


class PreviewCount(Answer):
    """Number of images of a class and group in each split."""

    label: int = Field(description="index of the class")
    group: int | None = Field(description="index of the group; null: there are none")
    train: int = Field(description="training images")
    validation: int = Field(description="validation images")
    test: int = Field(description="test images")


class PreviewSize(Answer):
    """Number of images of a size."""

    height: int = Field(description="in pixels")
    width: int = Field(description="in pixels")
    images: int = Field(description="number of images")


class PreviewImage(Answer):
    """An image, as it would be registered, at most 96 pixels a side."""

    file: str = Field(description="its name")
    label: str = Field(description="name of its class")
    split: Split = Field(description="its split")
    values: dict[str, str] = Field(description="values of its attributes")
    image: str = Field(description="JPEG as a data URL")


class RegistrationPreview(Answer):
    """The images, columns and counts that a registration would store."""

    id: int = Field(description="number of the preview's task")
    layout: str = Field(description="form of the images: folders, table, arrays or pattern; empty: not recognised")
    problems: list[str] = Field(description="what is wrong; with a problem they can't be registered")
    columns: list[PreviewColumn] = Field(description="columns or arrays, and their roles")
    class_names: list[str] = Field(description="names of the classes")
    attributes: list[Attribute] = Field(description="properties of the images")
    group_names: list[str] = Field(description="names of the groups; empty: there are none")
    grouped_by: list[str] = Field(description="attributes whose values, crossed with the label, are the groups")
    counts: list[PreviewCount] = Field(description="images by class, group and split, the fewest first")
    sizes: list[PreviewSize] = Field(description="sizes of the images, the most frequent first")
    sized: int = Field(description="number of images whose size was read, evenly spaced")
    has_mask: bool = Field(description="whether there are masks")
    images: list[PreviewImage] = Field(description="up to twenty images, of every class and group where that fits")
    passed_over: list[str] = Field(description="the first files that are passed over")
    passed_over_count: int = Field(description="number of files that are passed over")
    notes: list[str] = Field(description="sentences about what was passed over and about small groups")
