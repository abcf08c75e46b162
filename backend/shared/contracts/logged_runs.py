"""Runs that are trained by a loop of the user's own, and recorded here."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from densitylab.backend.shared.contracts.fields import Answer, Id, Name, Notes, Request, Tags, composed, storable
from densitylab.backend.shared.contracts.spec import Component
from densitylab.backend.shared.contracts.work import Status

MAX_POINTS_PER_REQUEST = 5_000
MAX_CURVES_PER_RUN = 1_000
UNKNOWN_MODEL = "unknown"  # key of the network of a run that names none of the catalog

# Letters and digits of any language
CURVE_NAME = r"^\w[\w./@:+-]*$"
_LONGEST_NAME = 64  # characters, as the database has it


def _storable_name(text: str) -> str:
    """Return the name in NFC, which is longer for a few letters."""
    text = composed(text)
    if len(text) > _LONGEST_NAME:
        raise ValueError(f"expected at most {_LONGEST_NAME} characters")
    return text


CurveName = Annotated[str, Field(pattern=CURVE_NAME, max_length=_LONGEST_NAME), AfterValidator(_storable_name)]
ParamName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(storable)]
ParamText = Annotated[str, Field(max_length=2000), AfterValidator(storable)]
ParamValue = bool | int | float | ParamText | None


class LogRequest(Request):
    """A run of a training loop of one's own."""

    name: Name = Field(default="logged training", description="name of the run, and of the new experiment")
    experiment: Id | None = Field(default=None, description="experiment that gets the run; null: a new one")
    dataset: Component = Field(description="data set that it trains on")
    model: Component | None = Field(
        default=None, description="network: an entry of the catalog; null: another one, which has no weights here"
    )
    regularizer: Component | None = Field(default=None, description="regularizer of the loss; null: none")
    lambda_: float | None = Field(default=None, ge=0, le=1e6, description="weight λ of the penalty; null: not known")
    epochs: int | None = Field(
        default=None, ge=1, le=1_000_000, description="epochs in all, for progress and time left; null: not known"
    )
    steps: int | None = Field(
        default=None, ge=1, le=2**31 - 1, description="steps in all, for progress and time left; null: not known"
    )
    params: Annotated[dict[ParamName, ParamValue], Field(max_length=200)] = Field(
        default_factory=dict, description="settings of the training, such as the learning rate; kept in the provenance"
    )
    notes: Notes = Field(default="", description="free text; empty: the name")
    tags: Tags = Field(default_factory=list, description="labels of the run")


class LoggedPoint(Request):
    """A point of a curve. Another one of the same name and step replaces it."""

    name: CurveName = Field(description="name of the curve")
    step: int = Field(ge=0, le=2**31 - 1, description="number of optimizer steps")
    value: float | None = Field(description="value of the curve; null: not a finite number, which flags the run")
    epoch: float | None = Field(default=None, ge=0, le=1e9, description="the step in epochs; null: not known")
    seconds: float | None = Field(
        default=None, ge=0, le=1e9, description="seconds of training until then; null: since the run was made"
    )


class PointsRequest(Request):
    """Points of a run's curves, in any order. Without points it says that the training goes on."""

    points: Annotated[list[LoggedPoint], Field(max_length=MAX_POINTS_PER_REQUEST)] = Field(
        default_factory=list, description="the points"
    )


class PointsReceived(Answer):
    """Number of stored points, and whether the training should go on."""

    points: int = Field(description="points stored; those that are not finite are none")
    status: Status = Field(description="state of the run")
    cancel_requested: bool = Field(description="whether the training was asked to stop")


class FinishRequest(Request):
    """The end of a logged run."""

    status: Literal["succeeded", "failed", "cancelled"] = Field(
        default="succeeded", description="how the training ended"
    )
    error: Annotated[str, Field(max_length=4000), AfterValidator(storable)] | None = Field(
        default=None, description="why it failed; null: it did not"
    )
