"""Mean penalties of a regularizer, with its parameters and with reference ones, and the λ that follows from them."""

from typing import Annotated, Any

from pydantic import Field

from densitylab.backend.shared.contracts.fields import IN_LISTS, Answer, DocumentedAs, Id, Key, Request
from densitylab.backend.shared.contracts.spec import RunSpec

MAX_PENALTY_IMAGES = 256
Seed = Annotated[int, Field(ge=0, le=2**31 - 1), IN_LISTS]


class PenaltyRequest(Request):
    """Request to compare the mean penalty of a spec's regularizer with that of the same one at reference parameters."""

    # densitylab.backend.shared.specs checks it against the catalog and names every wrong field at once
    spec: Annotated[dict[str, Any], DocumentedAs(RunSpec)] = Field(
        default_factory=dict, description="the spec whose λ is wanted; parts left out take their defaults"
    )
    lambda_: float = Field(gt=0, le=1e6, description="λ₀, which suits the reference parameters")
    reference: dict[str, Any] = Field(
        default_factory=dict,
        description="parameters of the regularizer that λ₀ belongs to; those left out: norm, power and target take the "
        "catalog's defaults, others are as in the spec",
    )
    seeds: list[Seed] | None = Field(
        default=None, min_length=1, max_length=10, description="seeds of the new weights; null: the spec's"
    )
    run: Id | None = Field(
        default=None,
        description="trained run of the same data set and network, whose weights are taken, best one that was trained "
        "with the reference parameters at λ₀; null: new weights, which do for another norm, but not for another power",
    )
    images: int = Field(
        default=MAX_PENALTY_IMAGES, ge=1, le=MAX_PENALTY_IMAGES, description="number of training images, drawn once"
    )


class PenaltyComparison(Answer):
    """Mean penalties of one network on the same training images, and the λ that follows from their ratio."""

    id: int = Field(description="number of the task that computed it")
    regularizer: Key = Field(description="key of the regularizer")
    params: dict[str, Any] = Field(description="its parameters, complete")
    reference: dict[str, Any] = Field(description="its reference parameters, complete")
    penalty: float = Field(description="mean over images and seeds with the parameters")
    reference_penalty: float = Field(description="the same with the reference parameters")
    ratio: float | None = Field(description="reference_penalty over penalty; null: one of them is not above 0")
    lambda_: float = Field(description="λ₀, as requested")
    suggested_lambda: float | None = Field(
        description="λ₀ times the ratio times the reference power over the power; null: there is no ratio"
    )
    images: int = Field(description="number of training images")
    seeds: list[int] = Field(description="seeds of the new weights; empty: those of the run were taken")
    run: int | None = Field(description="run whose weights were taken; null: new weights")
    cautions: list[str] = Field(description="sentences about what the figures do not say")
