"""Entries of the catalog: one class per kind, with the facts of that kind alone.

An entry is metadata. The API validates requests against it, the page draws its forms from it, and a worker imports the
callable that its path names. A fact that nobody knows has the value None, which means "not known" everywhere.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

from densitylab.backend.shared.catalog.cost import EvaluationCost, NetworkCost, PenaltyCost, Shape
from densitylab.backend.shared.catalog.params import Param
from densitylab.backend.shared.catalog.study_parts import (
    StudyClaim,
    StudyDefinition,
    StudyFigure,
    StudySetting,
    StudySize,
    StudyTable,
)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Parameters that go together in some ways only: where `when` holds (dotted paths into the parameters), each of
    `allowed` must hold too."""

    when: dict[str, tuple[Any, ...]]
    allowed: dict[str, tuple[Any, ...]]
    why: str


@dataclass(frozen=True, kw_only=True)
class Caution:
    """A warning that a run carries where every path of `when` (dotted, in the spec) has a listed value."""

    when: dict[str, tuple[Any, ...]]
    flag: str  # short key, stable
    text: str


@dataclass(frozen=True, kw_only=True)
class Images:
    """The test images behind a point of a plot, selected by an array of the evaluation."""

    array: str  # {name} is the name of the point's curve
    pick: Literal["x", "lowest", "highest"]  # those whose value is the point's x, or the lowest or highest first
    words: str  # describes them, after "Test images"; {x} is the point's x, {name} the curve's name
    perturbation: str = ""  # key of the perturbation that shows how they change there, with x for its strength


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One chart of an evaluation's results. Evaluations whose plots have the same title share a chart."""

    title: str
    names: tuple[str, ...]  # of curves; of "violins": of arrays over the test images
    mark: Literal["lines", "bars", "steps", "violins"] = "lines"
    diagonal: str = ""  # label of the line y = x
    # The values that chance would give, by their names or their suffixes after the name of a curve or an array: stated
    # below tables, and marked beside violins
    controls: tuple[str, ...] = ()
    images: Images | None = None


@dataclass(frozen=True, kw_only=True)
class ValueRange:
    """The lowest and the highest possible value of results, at which intervals over seeds end."""

    names: tuple[str, ...] = ("*",)  # of values and curves; patterns such as "*_auroc"
    low: float | None = None  # None: there is none
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that an evaluation gives."""

    name: str
    label: str  # {param} stands for the value of the evaluation's parameter, of a list for its first number
    higher_is_better: bool | None = None
    headline: int | None = None  # position in the default tables; None: not in them
    needs_groups: bool = False  # only data with groups have it


@dataclass(frozen=True)
class Plugin:
    """The installed package that an entry comes from."""

    package: str
    version: str


@dataclass(frozen=True)
class Entry:
    """One choice: the path of its callable, its parameters, and the facts that all kinds share.

    Args:
        key: unique within its kind; it stays the same for ever, since stored specs name it.
        label: its name on the page.
        summary: one or two sentences.
        path: "package.module:callable", imported by workers alone; "" of a kind without a callable.
    """

    kind: ClassVar[str]
    has_callable: ClassVar[bool] = True

    key: str
    label: str
    summary: str
    path: str
    params: tuple[Param, ...] = ()
    rules: tuple[Rule, ...] = ()
    cautions: tuple[Caution, ...] = ()
    package: str | None = None  # a module that is not installed by default; workers without it cannot use the entry
    plugin: Plugin | None = None  # set by the catalog; None: built in

    def param(self, name: str) -> Param | None:
        """The parameter of that name; None where there is none."""
        return next((param for param in self.params if param.name == name), None)


@dataclass(frozen=True)
class Attribute:
    """A property of every image of a data set: its name, and the names of its values."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class DatasetEntry(Entry):
    """A data set. `prepare(root, [source], *, ..., progress, should_stop) -> PreparedInfo` stores its images."""

    kind: ClassVar[str] = "dataset"

    num_classes: int | None = None
    class_names: tuple[str, ...] = ()
    channels: int | None = None
    image_size: tuple[int, int] | None = None  # (height, width), with the default parameters
    sized_by: str | None = None  # the parameter that is height and width of its images; None: they have one size
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    train_size: int | None = None  # images that a run trains on, validation excluded
    test_size: int | None = None  # test images; prepared data has all its sizes in the database
    has_groups: bool = False
    group_names: tuple[str, ...] = ()
    attributes: tuple[Attribute, ...] = ()  # properties of its images that groups can be made of
    has_mask: bool = False
    # "package.module:callable" (source, *, the parameter `sized_by`) -> the published corruptions of its test images;
    # None: there are none
    corruptions: str | None = None
    augmentation: str = "none"  # key of the augmentation that a spec takes unless it names another
    embedded: bool = False  # needs no download, so a launch may prepare it
    registered: bool = False  # a user's own images, stored in the database

    @property
    def shape(self) -> Shape | None:
        """(channels, height, width) of an image."""
        if self.channels is None or self.image_size is None:
            return None
        return self.channels, *self.image_size

    def sized(self, params: Mapping[str, Any]) -> Self:
        """Return the entry with the image size that it has with these parameters."""
        side = params.get(self.sized_by) if self.sized_by else None
        return replace(self, image_size=(side, side)) if isinstance(side, int) and side > 0 else self


@dataclass(frozen=True)
class ModelEntry(Entry):
    """A network. `build(channels, image_size, num_classes, *, ...) -> Module` gives logits (N, K)."""

    kind: ClassVar[str] = "model"

    min_image_size: int | None = None  # smallest height and width in pixels
    # smallest height and width at which pretrained weights fill every layer but the head; None: at any, or not known
    pretrained_image_size: int | None = None
    side_multiple_of: str | None = None  # the parameter that must divide height and width
    has_convolutions: bool = False
    # It has non-linear operations of several values at once, such as attention or group norm, wherever each of these
    # parameters has a listed value (no parameter: always; None: not known to have any)
    multivariate: dict[str, tuple[Any, ...]] | None = None
    cost: Callable[[dict[str, Any], Shape, int], NetworkCost] | None = None  # by parameters, image shape and classes
    # The parameter `lr` of an optimizer, by its key, that a spec takes unless it has one; the optimizer's own default
    # for those that are not listed
    learning_rates: dict[str, float] | None = None


@dataclass(frozen=True)
class RegularizerEntry(Entry):
    """A penalty. `(model, x, logits, y, *, ..., generator) -> (N,)`, one number per sample."""

    kind: ClassVar[str] = "regularizer"

    # It differentiates a gradient wherever each of these parameters has a listed value (no parameter: always; None:
    # never), which torch.compile refuses
    double_backward: dict[str, tuple[Any, ...]] | None = None
    # It takes a forward pass with a tangent wherever each of these parameters has a listed value (as above), which
    # cannot be computed again in the backward pass
    forward_mode: dict[str, tuple[Any, ...]] | None = None
    # It draws random numbers wherever each of these parameters has a listed value (as above)
    draws: dict[str, tuple[Any, ...]] | None = None
    # Passed by keyword besides: "masks" (N, 1, H, W) of the images' null part, for which the data set must have masks;
    # "cross_entropy", (logits, y) -> (N,) with the run's label smoothing and class weights; "replace_logits",
    # (logits) -> None, called with those of another forward pass that the run's cross-entropy is to be taken from
    uses: tuple[Literal["masks", "cross_entropy", "replace_logits"], ...] = ()
    # "package.module:callable" (model, x, y, *, its own parameters, generator) -> {curve: value}, of validation images
    # after each epoch; None: nothing besides
    monitor: str | None = None
    largest_lambda: float | None = None  # above it the clean loss is maximised; None: any λ is sound
    first_lambdas: tuple[float, ...] = ()  # of a first sweep, around the λ that comparisons selected; (): not known
    penalises: bool = True  # False: its penalty is 0, so that its runs are a baseline whatever λ is
    cost: Callable[[dict[str, Any]], PenaltyCost] | None = None  # of a step with the penalty, by parameters


@dataclass(frozen=True)
class ScheduleEntry(Entry):
    """A schedule of λ. `(lambda_, step, total_steps, state, *, ...) -> float`, the λ in force at a step."""

    kind: ClassVar[str] = "schedule"

    # Measured for it at every step; "robust_share" as its parameters for the trainer say (every, epsilon, attack_steps,
    # samples), on validation images
    observes: tuple[Literal["cross_entropy", "gradient_norm", "robust_share"], ...] = ()
    # It depends on the number of steps wherever one of these parameters is not 0; None: always
    stretched_by: tuple[str, ...] | None = None


@dataclass(frozen=True)
class OptimizerEntry(Entry):
    """An optimizer. `build(parameters, *, ...) -> torch.optim.Optimizer`."""

    kind: ClassVar[str] = "optimizer"


@dataclass(frozen=True)
class LrScheduleEntry(Entry):
    """A schedule of the learning rate. `(step, total_steps, *, ...) -> float`, the factor in force at a step."""

    kind: ClassVar[str] = "lr_schedule"

    # It depends on the number of steps wherever one of these parameters is not 0; None: always
    stretched_by: tuple[str, ...] | None = None


@dataclass(frozen=True)
class AugmentationEntry(Entry):
    """An augmentation. `(images, *, ..., generator) -> images`, a batch of stored images changed at random."""

    kind: ClassVar[str] = "augmentation"

    # It gets the batch in [0, 1], after the augmentation of its parameter `first`, and returns
    # `densitylab.worker.augmentations.mixed.Mixed`: images that are mixtures, and so are their labels
    mixes: bool = False


@dataclass(frozen=True)
class AlgorithmEntry(Entry):
    """A way to weigh and draw the images of a training. `build(samples, *, ...) -> Algorithm`."""

    kind: ClassVar[str] = "algorithm"

    # It needs groups wherever each of these parameters has a listed value (no parameter: always; None: never)
    needs_groups_if: dict[str, tuple[Any, ...]] | None = None
    # It draws the images of an epoch itself, in place of the spec's sampling (as above)
    draws: dict[str, tuple[Any, ...]] | None = None
    first_stage: str | None = None  # the parameter of the epochs after which training starts over; below the run's
    fits_validation: bool = False  # it fits weights to the validation images
    note: str = ""  # what a run does, in sentences, with {names} of parameters, or {epochs}

    def describe(self, params: Mapping[str, Any], epochs: int) -> str:
        """Return the note with the values of a run."""
        return self.note.format(**{**params, "epochs": epochs})


@dataclass(frozen=True)
class AttackEntry(Entry):
    """An attack. `(model, x, y, *, epsilon, ..., generator) -> x_adv`, on the [0, 1] pixel scale."""

    kind: ClassVar[str] = "attack"


@dataclass(frozen=True)
class AttributionEntry(Entry):
    """An attribution method. `(model, x, target, *, ...) -> attributions` shaped like x."""

    kind: ClassVar[str] = "attribution"

    signed: bool = True
    needs_target: bool = True  # False where the map is of no class, such as the gradient of log p(x)
    needs_convolutions: bool = False
    needs_activation: tuple[str, ...] = ()  # defined for these activations alone; (): for all
    needs_univariate: bool = False  # defined for non-linear operations of one value, and max pooling, alone
    work: tuple[str, ...] = ()  # parameters that multiply the passes through the network, such as quadrature steps
    stride: str | None = None  # the parameter by which a window slides over the image, a forward pass at each position
    window: str | None = None  # the parameter of the window's side, from the stride to the image's shorter side


@dataclass(frozen=True)
class PerturbationEntry(Entry):
    """A perturbation. `(model, x, target, *, ..., generator) -> Perturbed`; its first parameter is the strength."""

    kind: ClassVar[str] = "perturbation"

    version: int = 1  # raised when the same request gives other images; maps of an older version are not reused
    work: tuple[str, ...] = ()  # parameters that multiply the passes through the network


@dataclass(frozen=True)
class EvaluationEntry(Entry):
    """An evaluation. `(model, data, *, ..., generator, progress, should_stop) -> Result`."""

    kind: ClassVar[str] = "evaluation"

    needs_mask: bool = False
    needs_groups: bool = False
    needs_corruptions: bool = False
    version: int = 1  # raised when the same request gives other figures; results of an older version are not reused
    metrics: tuple[Metric, ...] = ()  # those with a label of their own
    ranges: tuple[ValueRange, ...] = ()  # the first that has the name of a value or a curve counts; none: unbounded
    plots: tuple[Plot, ...] = ()
    uses: tuple[
        Literal["train_data", "fresh_model", "prior_results", "corruptions"], ...
    ] = ()  # passed beside the model and its images
    cost: Callable[[dict[str, Any]], EvaluationCost] | None = None  # of one image, by parameters


@dataclass(frozen=True)
class StudyEntry(Entry):
    """A study: launches with the selection of λ, the tables, figures and claims that are made of them."""

    kind: ClassVar[str] = "study"
    has_callable: ClassVar[bool] = False

    path: str = ""
    version: int = 1  # raised when the same size launches other runs or claims something else
    question: str = ""  # what is asked, a sentence
    sizes: tuple[StudySize, ...] = ()
    select_by: str = "accuracy.accuracy"  # "<evaluation name>.<value name>"
    accuracy_budget: float = 0.02
    settings: tuple[StudySetting, ...] = ()
    tables: tuple[StudyTable, ...] = ()
    figures: tuple[StudyFigure, ...] = ()
    claims: tuple[StudyClaim, ...] = ()

    def definition(self, size: StudySize) -> StudyDefinition:
        """Return the study at one of its sizes."""
        names = ("key", "label", "version", "question", "select_by", "accuracy_budget", "settings", "tables", "figures")
        return StudyDefinition(size=size, claims=self.claims, **{name: getattr(self, name) for name in names})


KINDS: dict[str, type[Entry]] = {
    entry.kind: entry
    for entry in (
        DatasetEntry,
        ModelEntry,
        RegularizerEntry,
        ScheduleEntry,
        OptimizerEntry,
        LrScheduleEntry,
        AugmentationEntry,
        AlgorithmEntry,
        AttackEntry,
        AttributionEntry,
        PerturbationEntry,
        EvaluationEntry,
        StudyEntry,
    )
}
