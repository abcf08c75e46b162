"""The spec: everything that determines a run."""

from typing import Annotated, Any, Literal

from pydantic import Field

from densitylab.backend.shared.contracts.fields import EvaluationSplit, ImageSize, Key, Request
from densitylab.backend.shared.contracts.origins import ChannelOrder, ValueRange

SPEC_VERSION = 4
MAX_RUNS_PER_EXPERIMENT = 500


class Component(Request):
    """A catalog entry with its parameters; those left out take the catalog's defaults."""

    key: Key = Field(description="key of the catalog entry")
    params: dict[str, Any] = Field(
        default_factory=dict, description="its parameters; those left out take the catalog's defaults"
    )


class EvaluationSpec(Component):
    """An evaluation of a trained run. `name` is unique within the run; unless given it is the key, with `_validation`
    on validation images."""

    name: Key | None = Field(
        default=None, description="unique in the run; null: the key, with _validation on validation images"
    )
    split: EvaluationSplit = Field(default="test", description="images that it runs on; select on validation images")

    @property
    def default_name(self) -> str:
        """The name of an evaluation whose request gives none."""
        return self.key if self.split == "test" else f"{self.key}_{self.split}"


class EarlyStop(Request):
    """End a run after `patience` epochs without a better value on the validation images; the run keeps the weights of
    its best epoch."""

    patience: int = Field(ge=1, le=10_000, description="epochs")
    metric: Literal["validation_cross_entropy", "validation_accuracy", "validation_worst_group"] = Field(
        default="validation_cross_entropy",
        description="the value to watch; validation_worst_group, the lowest accuracy of a group, needs groups",
    )


Channels = Annotated[list[Annotated[float, Field(ge=-1e6, le=1e6)]], Field(min_length=1, max_length=4)]
Outputs = Annotated[list[Annotated[int, Field(ge=0, le=100_000)]], Field(min_length=2, max_length=100_000)]


class ModelInterface(Request):
    """Conversion of images and logits between a data set and a network with conventions of its own. The network gets
    (v − mean) / std, where v is the image in its order of channels and its range of values."""

    mean: Channels | None = Field(default=None, description="per channel of the network; null: the data set's")
    std: Channels | None = Field(default=None, description="per channel of the network; null: the data set's")
    channel_order: ChannelOrder = Field(default="rgb", description="order of the channels that the network gets")
    value_range: ValueRange = Field(
        default="unit", description="unit: values in [0, 1]; byte: 0 to 255. `mean` and `std` are on this scale"
    )
    image_size: ImageSize | None = Field(
        default=None, description="the network's input size, to which images are resized; null: the data set's"
    )
    outputs: int | None = Field(
        default=None, ge=2, le=100_000, description="number of the network's outputs; null: the data set's classes"
    )
    class_order: Outputs | None = Field(
        default=None, description="for each class of the data set the index of the network's output; null: the same"
    )


Pattern = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^\S+$")]


class InitFrom(Request):
    """The run that a run starts from: it goes on with that run's training, or takes its weights alone."""

    run: int = Field(ge=1, le=2**31 - 1, description="number of the run")
    mode: Literal["continue", "weights"] = Field(
        default="weights",
        description="continue: more epochs of the same run, from its full state; weights: those of its checkpoint "
        "whose names and shapes fit, for any training",
    )
    freeze: list[Pattern] = Field(
        default_factory=list,
        max_length=50,
        description="patterns of parameter names, such as `features.*`: these parameters are not trained, and batch "
        "norms with none but these keep their statistics",
    )
    head: Literal["auto", "keep", "new"] = Field(
        default="auto",
        description="last linear layer. auto: loaded if its shape fits; keep: it has to fit; new: drawn anew",
    )
    head_learning_rate_factor: float | None = Field(
        default=None, gt=0, le=1e6, description="learning rate of the last linear layer, as a multiple; null: 1"
    )


def _component(key: str, description: str) -> Any:
    return Field(default_factory=lambda: Component(key=key), description=description)


class RunSpec(Request):
    """Everything that determines a run. Every part has a default: `{}` trains the default demo."""

    dataset: Component = _component("blockmnist", "data set")
    model: Component = _component("mlp", "network")
    regularizer: Component = _component("marginal_density", "regularizer of the loss")
    lambda_: float = Field(
        default=0.1,
        ge=0,
        le=1e6,
        description="weight λ of the penalty; not comparable across networks, data sets, regularizers, norms or powers",
    )
    schedule: Component = _component("constant", "schedule of λ over the training")
    optimizer: Component = _component("adam", "optimizer")
    lr_schedule: Component = _component("constant", "schedule of the learning rate")
    augmentation: Component | None = Field(default=None, description="null: the data set's default")
    algorithm: Component = _component("erm", "how training images are weighted and drawn")
    epochs: int = Field(default=15, ge=1, le=10_000, description="passes over the training images")
    batch_size: int = Field(default=100, ge=1, le=65_536, description="images per optimizer step")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="initialisation, order and augmentation")
    train_samples: int | None = Field(default=None, ge=1, le=2**31 - 1, description="train on the first n; null: all")
    sampling: Literal["shuffled", "class_balanced", "group_balanced"] = Field(
        default="shuffled",
        description="each image once per epoch, or drawn so that classes or groups have equal weight",
    )
    gradient_clip: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="largest L2 norm of the loss's gradient by the weights; null: no clipping",
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="share of the target that is spread over all classes"
    )
    class_weights: Literal["none", "balanced"] = Field(
        default="none", description="weight of a class in the cross-entropy; balanced: inverse to its training images"
    )
    gradient_accumulation: int = Field(
        default=1, ge=1, le=1024, description="parts into which a batch is divided to save memory"
    )
    activation_checkpointing: bool = Field(
        default=False, description="compute activations again in backward passes, to save memory"
    )
    ema_decay: float | None = Field(
        default=None, ge=0, lt=1, description="decay of the exponential moving average of the weights; null: no average"
    )
    early_stop: EarlyStop | None = Field(default=None, description="null: train every epoch")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="auto: bfloat16 if the GPU supports it, else float32"
    )
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]{1,2})?)$")] = Field(
        default="auto", description="`auto`: the worker's GPU, else the CPU"
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="CPU threads of training, evaluations and maps, on which the rounding of sums depends; null: one, "
        "or two for a network with at least 100 million multiplications per image",
    )
    compile: bool = Field(default=False, description="use torch.compile, if a compiler is installed")
    deterministic: bool = Field(default=False, description="use deterministic kernels: bit-identical repeats")
    interface: ModelInterface | None = Field(
        default=None,
        description="normalisation, image size and classes of a network from elsewhere; null: the data set's; left out "
        "by a run that starts from the weights of another one: that run's, if channels and classes fit",
    )
    init_from: InitFrom | None = Field(
        default=None, description="run to continue, or to take the weights of; null: new weights"
    )
    evaluations: list[EvaluationSpec] = Field(
        default_factory=lambda: [EvaluationSpec(key="leakage"), EvaluationSpec(key="pgd_linf")],
        max_length=20,
        description="evaluations after the training; accuracy is always included, and of the defaults those that need "
        "a mask are left out where the data set has none",
    )
