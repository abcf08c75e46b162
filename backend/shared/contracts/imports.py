"""Import of models that were trained elsewhere."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from densitylab.backend.shared.contracts.fields import Answer, Id, ImageSize, Name, Notes, Request, Tags, storable
from densitylab.backend.shared.contracts.origins import ChannelOrder, ValueRange
from densitylab.backend.shared.contracts.spec import Channels, Component, EvaluationSpec, Outputs

NORMALIZATIONS = ("imagenet", "dataset", "none", "half")

Text = Annotated[str, AfterValidator(storable)]
ClassNames = Annotated[
    list[Annotated[str, Field(max_length=200), AfterValidator(storable)]], Field(min_length=2, max_length=100_000)
]


class InspectRequest(Request):
    """A data set whose image shape and classes an inspected file should fit."""

    dataset: Component | None = Field(default=None, description="data set; null: networks are not compared")


class ImportRequest(Request):
    """A model that was trained elsewhere: its network, and the data set to use it with."""

    name: Name | None = Field(
        default=None, description="name of the run and of the new experiment; null: none, and the file's"
    )
    experiment: Id | None = Field(default=None, description="experiment that gets the run; null: a new one")
    run: Id | None = Field(
        default=None, description="logged run without weights that gets them, on its data set; null: a run of its own"
    )
    upload: Id | None = Field(
        default=None, description="number of the inspection whose file to import; null: the file comes with the request"
    )
    dataset: Component = Field(description="data set to evaluate it on")
    model: Component = Field(description="network: an entry of the catalog, with its parameters")
    weights_key: Annotated[Text, Field(max_length=200)] | None = Field(
        default=None,
        description="part of the file that has the weights, such as `ema` or `state.model`; null: what fits best",
    )
    partial: bool = Field(
        default=False, description="load the weights that fit and leave the others at random; off: all have to fit"
    )
    normalization: Literal["imagenet", "dataset", "none", "half"] | None = Field(
        default=None,
        description="how its images were normalised: by ImageNet's statistics, the data set's, not at all, or by mean "
        "and deviation 0.5; null: as `mean` and `std` say, else found by the accuracy on validation images",
    )
    mean: Channels | None = Field(default=None, description="means of its normalisation, one per channel")
    std: Channels | None = Field(default=None, description="deviations of its normalisation, one per channel")
    channel_order: ChannelOrder = Field(default="rgb", description="order of the channels that the network gets")
    value_range: ValueRange = Field(
        default="unit", description="unit: values in [0, 1]; byte: 0 to 255. `mean` and `std` are on this scale"
    )
    image_size: ImageSize | None = Field(
        default=None, description="the network's input size, to which images are resized; null: the data set's"
    )
    outputs: int | None = Field(
        default=None, ge=2, le=100_000, description="number of its outputs; null: as many as class names or classes"
    )
    class_names: ClassNames | None = Field(
        default=None, description="names of its outputs, in order; the data set's classes are found among them by name"
    )
    class_order: Outputs | None = Field(
        default=None, description="for each class of the data set the index of its output; null: by names, or the same"
    )
    lambda_: float | None = Field(
        default=None, ge=0, le=1e6, description="weight λ of the penalty that it was trained with; null: not known"
    )
    regularizer: Component | None = Field(default=None, description="regularizer that it was trained with; null: none")
    source: Annotated[Text, Field(max_length=2000)] = Field(
        default="", description="where it comes from, such as a paper or an address"
    )
    evaluations: list[EvaluationSpec] = Field(
        default_factory=list, max_length=20, description="evaluations to run; accuracy is always included"
    )
    notes: Notes = Field(default="", description="free text")
    tags: Tags = Field(default_factory=list, description="labels of the experiment and the run")


class WeightsPart(Answer):
    """A part of a file that has weights."""

    key: str = Field(description="where it is in the file; empty: the whole file")
    tensors: int = Field(description="number of tensors")


class TensorShape(Answer):
    """A tensor of a file."""

    name: str = Field(description="name, without the removed prefix")
    shape: list[int] = Field(description="shape")
    dtype: str = Field(description="type of its numbers")


class Misfit(Answer):
    """A weight of a file or a network that does not fit."""

    problem: Literal["missing", "unexpected", "wrong_shape"] = Field(
        description="missing: the file lacks it; unexpected: the network lacks it; wrong_shape: the shapes differ"
    )
    name: str = Field(description="name in the network, or that of the file without the removed prefix")
    file_shape: list[int] | None = Field(default=None, description="shape in the file; null: it is not there")
    network_shape: list[int] | None = Field(default=None, description="shape in the network; null: it is not there")
    nearest: str | None = Field(
        default=None, description="most similar name of the other side without a partner; null: none is similar"
    )
    nearest_shape: list[int] | None = Field(default=None, description="shape of the weight with that name")


class Misfits(Answer):
    """The weights of a file and a network that do not fit."""

    total: int = Field(default=0, description="number of all")
    items: list[Misfit] = Field(default_factory=list, description="the first 100 of each problem")


class FittingModel(Answer):
    """A network of the catalog, compared with a file."""

    key: str = Field(description="key of the catalog entry")
    params: dict[str, str | int | float | bool | list[int] | None] = Field(
        description="its parameters, where they differ from the catalog's defaults"
    )
    label: str = Field(description="name of the network")
    matching: int = Field(description="weights whose name and shape agree")
    weights: int = Field(description="weights of the network")
    complete: bool = Field(description="whether every weight fits")
    misfits: Misfits = Field(default_factory=Misfits, description="the weights that do not fit")


class Inspection(Answer):
    """Content of an uploaded model file."""

    id: int = Field(description="number of the inspection: the `upload` of an import")
    file_name: str = Field(description="name of the file")
    bytes: int = Field(description="size of the file")
    sha256: str = Field(description="hash of the file")
    format: str = Field(description="format of the file")
    weights_key: str = Field(description="part of the file that has the weights; empty: the whole")
    parts: list[WeightsPart] = Field(description="all parts of the file that have weights")
    removed_prefix: str = Field(description="prefix of all names, which is removed")
    tensors: int = Field(description="number of tensors")
    parameters: int = Field(description="numbers in them")
    dtypes: dict[str, int] = Field(description="number of tensors by type of their numbers")
    shapes: list[TensorShape] = Field(description="the first and last tensors")
    channels: int | None = Field(description="image channels of the first convolution; null: not known")
    outputs: int | None = Field(description="length of the last layer's output; null: not known")
    class_names: list[str] = Field(description="class names in the file; empty: none")
    class_order: list[int] | None = Field(
        description="proposed output of each of the data set's classes, by name; null: no names, or not all are found"
    )
    entries: dict[str, str] = Field(description="other entries of the file, such as its epoch, as text")
    models: list[FittingModel] = Field(description="networks of the catalog that fit, the best first")
