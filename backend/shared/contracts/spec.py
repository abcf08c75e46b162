"""The spec: everything that decides what a run does."""

from typing import Annotated, Any, Literal

from pydantic import Field

from backend.shared.contracts.fields import Key, Request

SPEC_VERSION = 2
MAX_RUNS_PER_EXPERIMENT = 500


class Component(Request):
    """A catalog entry with its parameters; those left out take the catalog's defaults."""

    key: Key
    params: dict[str, Any] = Field(default_factory=dict)


class EvaluationSpec(Component):
    """A measure to take of a trained run. `name` is its key unless given, and unique within the run."""

    name: Key | None = None


class EarlyStop(Request):
    """Ends a run once so many epochs have gone by without a better value on the validation images; the run keeps the
    weights of its best epoch."""

    patience: int = Field(ge=1, le=10_000, description="epochs")
    metric: Literal["validation_cross_entropy", "validation_accuracy"] = "validation_cross_entropy"


def _component(key: str) -> Any:
    return Field(default_factory=lambda: Component(key=key))


class RunSpec(Request):
    """Everything that decides what a run does. Every part has a default: `{}` trains the default demo."""

    dataset: Component = _component("blockmnist")
    model: Component = _component("mlp")
    regularizer: Component = _component("marginal_density")
    lambda_: float = Field(default=0.1, ge=0, le=1e6, description="weight λ of the penalty")
    schedule: Component = _component("constant")
    optimizer: Component = _component("adam")
    lr_schedule: Component = _component("constant")
    augmentation: Component | None = Field(default=None, description="null: the one that suits the data set")
    epochs: int = Field(default=15, ge=1, le=10_000)
    batch_size: int = Field(default=100, ge=1, le=65_536)
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="initialisation, order and augmentation")
    train_samples: int | None = Field(default=None, ge=1, le=2**31 - 1, description="train on the first n; null: all")
    sampling: Literal["shuffled", "class_balanced", "group_balanced"] = Field(
        default="shuffled", description="each image once an epoch, or drawn so that classes or groups weigh the same"
    )
    gradient_clip: float | None = Field(
        default=None, gt=0, le=1e6, description="largest L2 norm of the loss's gradient by the weights; null: any"
    )
    ema_decay: float | None = Field(
        default=None, ge=0, lt=1, description="of the running mean of the weights that the run keeps; null: no mean"
    )
    early_stop: EarlyStop | None = Field(default=None, description="null: every epoch is trained")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="auto: bfloat16 where the GPU has it, else float32"
    )
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]{1,2})?)$")] = "auto"
    compile: bool = Field(default=False, description="run the model through torch.compile, where there is a compiler")
    deterministic: bool = Field(default=False, description="kernels that give the same bits at every repeat")
    evaluations: list[EvaluationSpec] = Field(
        default_factory=lambda: [EvaluationSpec(key="leakage"), EvaluationSpec(key="pgd_linf")], max_length=20,
        description="measures taken once the run is trained; accuracy is always among them",
    )
