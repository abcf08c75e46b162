"""Comparisons of runs over seeds and images."""

from typing import Annotated

from fastapi import Depends, Query, Request

from densitylab.backend.api.dependencies import CatalogDep, Reading, StoreDep
from densitylab.backend.api.errors import responses
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.api.run_filters import Filters
from densitylab.backend.services import comparisons
from densitylab.backend.services.values_per_image import ValuesPerImage
from densitylab.backend.shared.contracts import MAX_RUNS_PER_EXPERIMENT, Id
from densitylab.backend.shared.contracts.comparisons import Claim, ImageComparison, RunComparison
from densitylab.backend.shared.errors import InvalidField
from densitylab.backend.shared.store import run_listing

router = resource_router("comparisons", "/comparison")
Result = Annotated[
    str,
    Query(
        pattern=r"^[A-Za-z0-9_]+\.[A-Za-z0-9_]+$",
        max_length=129,
        description="`<evaluation name>.<value name>`, on test images",
        examples=["accuracy.accuracy"],
    ),
]
Budget = Annotated[float, Query(ge=0, le=1, description="largest loss of accuracy; 0.02: two points")]
_Runs = Annotated[list[Id], Query(min_length=1, max_length=100)]


def _constraint(
    constraint_result: Annotated[
        str | None,
        Query(
            pattern=r"^[A-Za-z0-9_]+\.[A-Za-z0-9_]+$",
            max_length=129,
            description="a second result, which may be at most `constraint_budget` worse; default: none",
            examples=["groups.worst"],
        ),
    ] = None,
    constraint_budget: Annotated[
        float,
        Query(ge=0, le=1e9, description="by how much the second result may be worse, in its unit; 0.02: two points"),
    ] = 0.0,
) -> tuple[str, float] | None:
    return None if constraint_result is None else (constraint_result, constraint_budget)


Constraint = Annotated[tuple[str, float] | None, Depends(_constraint)]


@router.get("", responses=responses(404, 422))
def compare_runs(
    session: Reading,
    catalog: CatalogDep,
    filters: Filters,
    result: Result,
    constraint: Constraint,
    accuracy_budget: Budget = 0.02,
    baseline: Annotated[
        Id | None, Query(description="a run of the group that all are compared with; default: each has its own")
    ] = None,
) -> RunComparison:
    """Compare the runs that match the filters: means over seeds, differences from baselines with paired t tests, the
    best group where it is apart from all others, and the selected λ of each method."""
    matching = [run.id for run in run_listing.sorted_runs(session, filters, sort="id", descending=False)]
    if len(matching) > MAX_RUNS_PER_EXPERIMENT:
        raise InvalidField(
            f"expected filters that at most {MAX_RUNS_PER_EXPERIMENT} runs match; {len(matching)} do", "/query"
        )
    return comparisons.compare(
        session, catalog, matching, result, max_loss=accuracy_budget, baseline=baseline, constraint=constraint
    )


@router.get("/claim", responses=responses(404, 422))
def check_claim(
    request: Request,
    session: Reading,
    catalog: CatalogDep,
    store: StoreDep,
    first: Annotated[_Runs, Query(description="runs of the first group, which differ only in the seed")],
    second: Annotated[_Runs, Query(description="runs of the second group, which differ only in the seed")],
    result: Result,
    constraint: Constraint,
    accuracy_budget: Budget = 0.02,
) -> Claim:
    """Say whether the first group has a better result than the second at no more than a stated loss of test accuracy,
    and of a second result if one is named: yes, no or undecided, with the tests, the warnings, and the seeds that would
    decide it."""
    per_image = ValuesPerImage(session, store, request.app.state.sample_values)
    return comparisons.claim(
        session, catalog, per_image, first, second, result, max_loss=accuracy_budget, constraint=constraint
    )


@router.get("/images", responses=responses(404, 422))
def compare_images(
    request: Request,
    session: Reading,
    store: StoreDep,
    first: Annotated[Id, Query(description="number of the first run")],
    second: Annotated[Id, Query(description="number of the second run")],
    result: Result,
) -> ImageComparison:
    """Compare two runs on the same images: McNemar's test for right or wrong, a paired bootstrap for other values."""
    per_image = ValuesPerImage(session, store, request.app.state.sample_values)
    return comparisons.image_comparison(session, per_image, first, second, result)
