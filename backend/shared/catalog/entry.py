"""What a catalog line is made of."""

import math
from dataclasses import dataclass
from typing import Any, Literal

ParamType = Literal["int", "float", "bool", "str", "floats", "component", "run"]


class UnknownKey(LookupError):
    """There is no such component; the message lists those that there are."""

    def __init__(self, kind: str, key: str, offered: tuple[str, ...]) -> None:
        super().__init__(f"unknown {kind} {key!r}; on offer: {', '.join(offered)}")


@dataclass(frozen=True, kw_only=True)
class Param:
    """One parameter of a component: validates a request and draws a control."""

    name: str
    type: ParamType
    default: Any
    label: str = ""
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    choices: tuple[str | int, ...] = ()
    optional: bool = False  # null is a value of its own; the help says what it means
    kind: str | None = None  # of type "component": the kind whose {key, params} it takes
    resized_by: str | None = None  # of kind "dataset": the parameter without which its images must have the run's size
    # "trainer": read by the training loop (lazy application), so not a keyword of the component's callable
    used_by: Literal["component", "trainer"] = "component"
    first_weights: bool = False  # of a model: chooses the weights to begin with and nothing else

    def check(self, value: Any) -> tuple[Any, str | None]:
        """(value in its declared type, None), or (value, what was expected and what came)."""
        if value is None:
            return (None, None) if self.optional else (value, f"expected {self.expectation()}, got null")
        if self.type == "floats":
            if not isinstance(value, list) or not 1 <= len(value) <= 32:
                return value, f"expected a list of 1 to 32 numbers, got {_show(value)}"
            checked = [self._number(item) for item in value]
            wrong = next((message for _, message in checked if message), None)
            return ([number for number, _ in checked], None) if wrong is None else (value, wrong)
        if self.type in ("int", "float", "run"):
            number, message = self._number(value)
            if message is None and self.choices and number not in self.choices:
                message = f"expected {self.expectation()}, got {_show(value)}"
            return number, message
        expected_type = {"bool": bool, "str": str}[self.type]
        refused = not isinstance(value, expected_type) or bool(self.choices and value not in self.choices)
        if isinstance(value, str) and not self.choices:
            refused = refused or not 1 <= len(value) <= 200 or not value.isprintable()
        return value, f"expected {self.expectation()}, got {_show(value)}" if refused else None

    def _number(self, value: Any) -> tuple[Any, str | None]:
        wanted = f"expected {self.expectation()}, got {_show(value)}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value, wanted
        if abs(value) > 2**53 or not math.isfinite(value):
            return value, wanted
        if self.type in ("int", "run"):
            if value != int(value):
                return value, wanted
            value = int(value)
        else:
            value = float(value)
        too_low = self.minimum is not None and (
            value <= self.minimum if self.exclusive_minimum else value < self.minimum
        )
        if too_low or (self.maximum is not None and value > self.maximum):
            return value, wanted
        return value, None

    def expectation(self) -> str:
        """What this parameter takes, in words: for error messages and help."""
        if self.choices:
            return "one of " + ", ".join(repr(choice) for choice in self.choices)
        words = {
            "int": "a whole number", "float": "a number", "floats": "numbers", "bool": "true or false",
            "str": "a text of 1 to 200 printable characters",
            "component": f"an object {{key, params}} of kind {self.kind}", "run": "the id of a run",
        }[self.type]
        if self.minimum is not None:
            words += f" {'above' if self.exclusive_minimum else 'of at least'} {self.minimum:g}"
        if self.maximum is not None:
            words += f"{' and' if self.minimum is not None else ''} at most {self.maximum:g}"
        return words + (" or null" if self.optional else "")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Parameters that only go together in some ways: where `when` holds (dotted paths into the parameters), each of
    `allowed` must too."""

    when: dict[str, tuple[Any, ...]]
    allowed: dict[str, tuple[Any, ...]]
    why: str


@dataclass(frozen=True, kw_only=True)
class Caution:
    """A true statement that a run must carry where every path of `when` (dotted, in the spec) has a listed value."""

    when: dict[str, tuple[Any, ...]]
    flag: str  # short key, stable
    text: str


@dataclass(frozen=True, kw_only=True)
class Images:
    """Which test images stand behind a point of a plot, by an array of the evaluation."""

    array: str  # {name} is the name of the point's curve
    pick: Literal["x", "lowest", "highest"]  # those whose value is the point's x, or the lowest or highest first
    words: str  # which they are, after "Test images"; {x} is the point's x, {name} the curve's name
    perturbation: str = ""  # key of what shows how they change there, with x for its strength


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One chart of what an evaluation found. Evaluations whose plots have the same title share a chart."""

    title: str
    names: tuple[str, ...]  # of curves; of "violins": of arrays over the test images
    mark: Literal["lines", "bars", "steps", "violins"] = "lines"
    diagonal: str = ""  # what the line y = x stands for
    controls: tuple[str, ...] = ()  # of "violins": suffixes of the values that say what chance would give
    images: Images | None = None


@dataclass(frozen=True)
class Entry:
    """One choice: where its callable lives, its parameters, and the facts that others decide by."""

    key: str
    label: str
    summary: str
    path: str  # "package.module:callable", resolved by the worker alone
    params: tuple[Param, ...] = ()
    rules: tuple[Rule, ...] = ()
    cautions: tuple[Caution, ...] = ()
    # facts of a data set
    num_classes: int | None = None
    class_names: tuple[str, ...] = ()
    channels: int | None = None
    image_size: tuple[int, int] | None = None  # (height, width)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    train_size: int | None = None  # images that a run trains on, validation taken off
    has_groups: bool = False
    group_names: tuple[str, ...] = ()
    has_mask: bool = False
    augmentation: str = "none"  # the key of the augmentation that suits, taken unless a spec names another
    embedded: bool = False  # needs no download, so a launch may prepare it by itself
    registered: bool = False  # a user's own images: not of this catalog but of the database, prepared once for all
    # facts of a model
    min_image_size: int | None = None  # smallest height and width in pixels
    side_multiple_of: str | None = None  # the parameter that must divide height and width
    package: str | None = None  # of any kind: not installed by default; without it the component can't be used
    has_convolutions: bool = False
    # facts of a regularizer: it differentiates a gradient wherever each of these parameters has a listed value (no
    # parameter: always; None: never), which torch.compile refuses
    double_backward: dict[str, tuple[Any, ...]] | None = None
    penalises: bool = True  # False: its penalty is 0, so that its runs are a baseline whatever λ is
    # facts of a schedule: what it steers by, so that it is measured at every step
    observes: tuple[Literal["cross_entropy", "gradient_norm"], ...] = ()
    # facts of an evaluation
    needs_mask: bool = False
    needs_groups: bool = False
    version: int = 1  # raised when the same request gives other figures; kept ones of an older version are not reused
    plots: tuple[Plot, ...] = ()
    # what the job hands over beside the model and its test images
    uses: tuple[Literal["train_data", "fresh_model", "earlier"], ...] = ()
    # facts of an attribution; `work` of a perturbation too
    signed: bool = True
    needs_convolutions: bool = False
    needs_activation: tuple[str, ...] = ()  # where it holds of some activations only; () is of all
    work: tuple[str, ...] = ()  # parameters that multiply the passes through the network, such as a quadrature's steps
    stride: str | None = None  # the parameter by which a window slides over the image, a forward pass at each place
    needs_target: bool = True  # False where the map is of no class, such as the gradient of log p(x)

    def param(self, name: str) -> Param | None:
        return next((param for param in self.params if param.name == name), None)


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
