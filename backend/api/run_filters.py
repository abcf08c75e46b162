"""Filters of runs as query parameters; a repeated one takes either of its values."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query
from pydantic import BeforeValidator, Field

from densitylab.backend.api import conditions
from densitylab.backend.api.dependencies import OwnerNames, Search
from densitylab.backend.shared.contracts import Id, Origin, Status, Tag
from densitylab.backend.shared.contracts.fields import Key, RunName
from densitylab.backend.shared.store.run_filters import Filter
from densitylab.backend.shared.store.times import first_seconds

_MANY = 50  # values of one parameter
Keys = list[Key] | None
Lambda = Annotated[float, Field(ge=0, le=1e6), BeforeValidator(conditions.exact)]
Seed = Annotated[int, Query(ge=0, le=2**31 - 1)]
Where = Annotated[str, Query(max_length=300, pattern=r"^[^\x00]*$")]


async def _filters(
    ids: Annotated[list[Id] | None, Query(max_length=500, description="numbers of runs, archived ones too")] = None,
    experiment: Annotated[list[Id] | None, Query(max_length=_MANY, description="number of their experiment")] = None,
    status: Annotated[list[Status] | None, Query(max_length=_MANY, description="state of the training")] = None,
    dataset: Annotated[Keys, Query(max_length=_MANY, description="key of the data set")] = None,
    model: Annotated[Keys, Query(max_length=_MANY, description="key of the model")] = None,
    regularizer: Annotated[Keys, Query(max_length=_MANY, description="key of the regularizer")] = None,
    tag: Annotated[list[Tag] | None, Query(max_length=_MANY, description="a tag that they have")] = None,
    owner: OwnerNames = None,
    origin: Annotated[list[Origin] | None, Query(max_length=3, description="where their weights come from")] = None,
    name: Annotated[list[RunName] | None, Query(max_length=_MANY, description="name of their own")] = None,
    seed: Annotated[list[Seed] | None, Query(max_length=500, description="seed of the training")] = None,
    q: Search = None,
    archived: Annotated[list[bool] | None, Query(max_length=2, description="default: those that are not")] = None,
    lambda_min: Annotated[Lambda | None, Query(description="smallest λ")] = None,
    lambda_max: Annotated[Lambda | None, Query(description="largest λ")] = None,
    created_after: Annotated[datetime | None, Query(description="earliest time of creation, UTC")] = None,
    created_before: Annotated[datetime | None, Query(description="created before this time, UTC")] = None,
    where: Annotated[
        list[Where] | None,
        Query(
            max_length=20,
            description="NAME, one of >= <= > < = != and a value; every condition must hold, and a run without the "
            "value does not match. NAME is results.EVALUATION.VALUE, metrics.CURVE or a path into the spec, "
            "such as spec.epochs or spec.regularizer.params.estimator; spec values may be text, true, false or null.",
            examples=[["results.accuracy.accuracy>=0.9"]],
        ),
    ] = None,
) -> Filter:
    return Filter(
        ids=tuple(ids) if ids else None,
        experiment=tuple(experiment or ()),
        status=tuple(status or ()),
        dataset=tuple(dataset or ()),
        model=tuple(model or ()),
        regularizer=tuple(regularizer or ()),
        tag=tuple(tag or ()),
        owner=tuple(owner or ()),
        origin=tuple(origin or ()),
        name=tuple(name or ()),
        seed=tuple(seed or ()),
        archived=_archived(archived, by_id=bool(ids)),
        query=q,
        lambda_min=lambda_min,
        lambda_max=lambda_max,
        created_after=first_seconds(created_after),
        created_before=first_seconds(created_before),
        where=tuple(conditions.parse(text, f"/query/where/{index}") for index, text in enumerate(where or ())),
    )


def _archived(given: list[bool] | None, *, by_id: bool) -> tuple[bool, ...]:
    return tuple(given) if given else () if by_id else (False,)


Filters = Annotated[Filter, Depends(_filters)]
