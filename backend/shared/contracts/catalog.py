"""Every choice on offer, as the API tells it."""

from typing import Any, Literal

from backend.shared.contracts.fields import Answer, ImageSize


class CatalogParam(Answer):
    """One parameter of a choice: what it takes, and how to ask for it."""

    name: str
    type: Literal["int", "float", "bool", "str", "floats", "component", "run"]
    default: Any
    label: str
    help: str
    minimum: float | None
    maximum: float | None
    exclusive_minimum: bool
    choices: list[str | int]
    optional: bool
    kind: str | None  # of type "component": the kind whose {key, params} it takes
    resized_by: str | None = None  # of kind "dataset": the parameter without which its images must have the run's size


class CatalogRule(Answer):
    """Where `when` holds (values by parameter), each of `allowed` must too."""

    when: dict[str, list[Any]]
    allowed: dict[str, list[Any]]
    why: str


class CatalogCaution(Answer):
    """What a run carries where every path of `when` (dotted, in the spec) has a listed value."""

    when: dict[str, list[Any]]
    flag: str
    text: str


class CatalogImages(Answer):
    """Which test images stand behind a point of a plot: the query of the route of an evaluation's samples."""

    array: str  # {name} is the name of the point's curve
    pick: Literal["x", "lowest", "highest"]  # those whose value is the point's x, or the lowest or highest first
    words: str
    perturbation: str = ""  # key of what shows how they change there, with the point's x for its strength


class CatalogPlot(Answer):
    """One chart of what an evaluation found; see `backend.shared.catalog.entry.Plot`."""

    title: str
    names: list[str]
    mark: Literal["lines", "bars", "steps", "violins"]
    diagonal: str
    controls: list[str]
    images: CatalogImages | None


class CatalogEntry(Answer):
    """One choice of a kind; see `backend.shared.catalog.entry.Entry` for the facts."""

    key: str
    label: str
    summary: str
    params: list[CatalogParam]
    rules: list[CatalogRule]
    cautions: list[CatalogCaution]
    num_classes: int | None
    class_names: list[str]
    channels: int | None
    image_size: ImageSize | None
    mean: list[float]
    std: list[float]
    train_size: int | None
    has_groups: bool
    group_names: list[str]
    has_mask: bool
    augmentation: str  # of a data set: the key of the one that suits it
    embedded: bool
    registered: bool
    min_image_size: int | None
    package: str | None  # not installed by default
    has_convolutions: bool
    penalises: bool
    needs_mask: bool
    needs_groups: bool
    plots: list[CatalogPlot]  # of an evaluation
    signed: bool
    needs_convolutions: bool
    needs_activation: list[str]
    needs_target: bool
