"""Entries of the catalog."""

from typing import Any, Literal

from pydantic import Field

from densitylab.backend.shared.contracts.datasets import Attribute
from densitylab.backend.shared.contracts.fields import Answer, ImageSize


class CatalogParam(Answer):
    """A parameter of an entry: its type, bounds, label and help."""

    name: str = Field(description="name of the parameter")
    type: Literal["int", "float", "bool", "str", "floats", "component", "run", "attributes"] = Field(
        description="type of its value"
    )
    default: Any = Field(description="value if it is left out")
    label: str = Field(description="name for people")
    help: str = Field(description="what it does")
    minimum: float | None = Field(description="smallest value; null: none")
    maximum: float | None = Field(description="largest value; null: none")
    exclusive_minimum: bool = Field(description="whether the minimum itself is not allowed")
    choices: list[str | int] = Field(description="allowed values; empty: all")
    numbers_from: float | None = Field(
        default=None, description='of type "str": smallest number that is allowed besides the choices; null: none'
    )
    optional: bool = Field(description="whether null is allowed")
    kind: str | None = Field(description='of type "component": the kind whose {key, params} it takes')
    resized_by: str | None = Field(
        default=None, description='of kind "dataset": the parameter without which its images must have the run\'s size'
    )
    rescales: Literal["size", "exponent"] | None = Field(
        default=None,
        description="of a regularizer: λ of different values are not comparable, since it changes the penalty's size, "
        "or is the exponent of its norm; null: not known to",
    )


class CatalogRule(Answer):
    """A constraint: if `when` holds (values by parameter), `allowed` must hold."""

    when: dict[str, list[Any]] = Field(description="values by parameter that make the rule apply")
    allowed: dict[str, list[Any]] = Field(description="allowed values by parameter")
    why: str = Field(description="reason, a sentence")


class CatalogCaution(Answer):
    """A warning of runs for which every dotted path of `when` in the spec has a listed value."""

    when: dict[str, list[Any]] = Field(description="values by dotted path in the spec")
    flag: str = Field(description="key of the flag")
    text: str = Field(description="the warning, a sentence")


class CatalogImages(Answer):
    """The test images behind a point of a plot: the query for an evaluation's samples."""

    array: str = Field(description="{name} is the name of the point's curve")
    pick: Literal["x", "lowest", "highest"] = Field(
        description="those whose value is the point's x, or the lowest or highest first"
    )
    words: str = Field(description="name of these images for people")
    perturbation: str = Field(
        default="", description="key of the perturbation to show, with the point's x as its strength"
    )


class CatalogPlot(Answer):
    """A chart of an evaluation's results; see `densitylab.backend.shared.catalog.Plot`."""

    title: str = Field(description="title of the chart")
    names: list[str] = Field(description="names of the curves that it shows")
    mark: Literal["lines", "bars", "steps", "violins"] = Field(description="how they are drawn")
    diagonal: str = Field(description="label of a reference diagonal; empty: none")
    controls: list[str] = Field(description="values that chance gives: names, or suffixes of the arrays' names")
    images: CatalogImages | None = Field(description="the images behind a point; null: none")


class CatalogMetric(Answer):
    """A number that an evaluation returns."""

    name: str = Field(description="name of the value")
    label: str = Field(
        description="{param} stands for the value of the evaluation's parameter, of a list for its first number"
    )
    higher_is_better: bool | None = Field(description="null: neither")
    headline: int | None = Field(description="position in the default tables; null: not in them")
    needs_groups: bool = Field(default=False, description="whether only data with groups have it")


class CatalogRange(Answer):
    """The lowest and the highest possible value of an evaluation's results."""

    names: list[str] = Field(description="names of values and curves, or patterns such as `*_auroc`")
    low: float | None = Field(description="lowest possible value; null: none")
    high: float | None = Field(description="highest possible value; null: none")


class CatalogPlugin(Answer):
    """The installed package that an entry comes from."""

    package: str = Field(description="name of the installed package")
    version: str = Field(description="its version")


StudySizeName = Literal["minutes", "hours", "gpu"]


class CatalogStudySize(Answer):
    """A study at one price."""

    key: StudySizeName = Field(description="name of the size")
    minutes: float = Field(description="minutes that it takes on `hardware`, evaluations included")
    hardware: str = Field(description="such as two CPU cores")


class CatalogStudySetting(Answer):
    """A setting of a study beside the paper's."""

    name: str = Field(description="name for people")
    ours: str = Field(description="the study's")
    paper: str = Field(description="the paper's; empty: not stated there")


class CatalogEntry(Answer):
    """An entry of the catalog. Fields of other kinds have their defaults; null means not known."""

    key: str = Field(description="unique among the entries of its kind")
    label: str = Field(description="name for people")
    summary: str = Field(description="what it is, a sentence")
    params: list[CatalogParam] = Field(description="its parameters")
    rules: list[CatalogRule] = Field(description="constraints on its parameters")
    cautions: list[CatalogCaution] = Field(description="warnings of questionable settings")
    package: str | None = Field(default=None, description="a module that is not installed by default")
    plugin: CatalogPlugin | None = Field(default=None, description="null: built in")
    unavailable: str | None = Field(
        default=None, description="why no live worker can use it; null: one can, or no worker is live"
    )
    # of a data set
    num_classes: int | None = Field(default=None, description="of a data set")
    class_names: list[str] = Field(default_factory=list, description="of a data set, in the order of the labels")
    channels: int | None = Field(default=None, description="of a data set: 1 or 3")
    image_size: ImageSize | None = Field(default=None, description="of a data set, with its default parameters")
    sized_by: str | None = Field(
        default=None, description="of a data set: the parameter that is height and width of its images; null: none"
    )
    mean: list[float] = Field(
        default_factory=list, description="of a data set: mean of each channel over the training images"
    )
    std: list[float] = Field(
        default_factory=list, description="of a data set: standard deviation of each channel over the training images"
    )
    train_size: int | None = Field(default=None, description="of a data set: number of training images")
    first_lambdas: list[float] = Field(default_factory=list, description="of a regularizer: λ for a first sweep")
    has_groups: bool = Field(default=False, description="of a data set: whether its images have groups")
    group_names: list[str] = Field(default_factory=list, description="of a data set, in the order of the groups")
    attributes: list[Attribute] = Field(
        default_factory=list, description="of a data set: properties of its images that groups can be made of"
    )
    has_mask: bool = Field(default=False, description="of a data set: whether its images have masks of the null region")
    has_corruptions: bool = Field(
        default=False, description="of a data set: whether corruptions of its test images are published"
    )
    augmentation: str = Field(
        default="none", description="key of the augmentation that a spec takes unless it names another"
    )
    embedded: bool = Field(default=False, description="of a data set: whether it needs no download")
    registered: bool = Field(default=False, description="of a data set: whether a user registered it")
    # of a model
    min_image_size: int | None = Field(default=None, description="of a model: smallest height and width")
    learning_rates: dict[str, float] | None = Field(
        default=None,
        description="of a model: the learning rate by optimizer that a spec takes unless it has one; of others the "
        "optimizer's default",
    )
    has_convolutions: bool = Field(default=False, description="of a model")
    multivariate: dict[str, list[Any]] | None = Field(
        default=None,
        description="of a model: parameter values with which an image's score depends on the other images of its batch",
    )
    # of a regularizer
    penalises: bool = Field(default=True, description="of a regularizer: whether it adds a penalty to the loss")
    # of an algorithm
    needs_groups_if: dict[str, list[Any]] | None = Field(
        default=None,
        description="of an algorithm: parameter values with which it needs groups; empty: always; null: never",
    )
    # of an evaluation
    needs_mask: bool = Field(default=False, description="of an evaluation: whether it needs masks of the null region")
    needs_groups: bool = Field(default=False, description="of an evaluation: whether it needs groups")
    needs_corruptions: bool = Field(
        default=False, description="of an evaluation: whether it needs published corruptions of the test images"
    )
    metrics: list[CatalogMetric] = Field(
        default_factory=list, description="of an evaluation: the values that it returns"
    )
    plots: list[CatalogPlot] = Field(default_factory=list, description="of an evaluation: its charts")
    ranges: list[CatalogRange] = Field(
        default_factory=list,
        description="of an evaluation: bounds of its results, of which the first with the name of a value or a curve "
        "counts; intervals over seeds end there",
    )
    # of an attribution
    signed: bool = Field(default=True, description="of an attribution: whether its maps have a sign")
    needs_convolutions: bool = Field(default=False, description="of an attribution")
    needs_activation: list[str] = Field(
        default_factory=list, description="of an attribution: activations that it works with; empty: all"
    )
    needs_univariate: bool = Field(
        default=False, description="of an attribution: whether a score may only depend on one image"
    )
    needs_target: bool = Field(default=True, description="of an attribution: whether it explains one class")
    # of a study
    question: str = Field(default="", description="of a study: what is asked, a sentence")
    sizes: list[CatalogStudySize] = Field(default_factory=list, description="of a study: what it can be launched at")
    settings: list[CatalogStudySetting] = Field(
        default_factory=list, description="of a study: its settings beside the paper's"
    )
