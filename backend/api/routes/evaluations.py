"""Evaluations of runs."""

from typing import Annotated, Literal

from fastapi import Path, Query, Response
from sqlalchemy.orm import Session

from densitylab.backend.api.dependencies import CatalogDep, DatabaseDep, QueueDep, Reading, StoreDep
from densitylab.backend.api.errors import responses
from densitylab.backend.api.idempotency_key import IdempotencyKey
from densitylab.backend.api.resource_router import resource_router
from densitylab.backend.api.routes.runs import RunId
from densitylab.backend.broker.delivery import try_deliver
from densitylab.backend.services.evaluations import request as request_evaluation
from densitylab.backend.services.evaluations import sample_values
from densitylab.backend.services.idempotency import once
from densitylab.backend.services.runs import get as get_run
from densitylab.backend.services.runs import not_found
from densitylab.backend.shared import contracts
from densitylab.backend.shared.contracts import Evaluation, EvaluationSpec, SampleValues
from densitylab.backend.shared.store import evaluations

router = resource_router("evaluations", "/runs/{run_id}/evaluations")
EvaluationName = Annotated[
    str, Path(pattern=r"^[a-z0-9_]+$", max_length=64, description="name of the evaluation, unique in the run")
]


class EvaluationPage(contracts.Page[Evaluation]):
    """A page of evaluations."""


@router.get("", responses=responses(404, 422))
def list_evaluations(run_id: RunId, session: Reading) -> EvaluationPage:
    """Return the run's evaluations with their results."""
    get_run(session, run_id)
    return EvaluationPage(items=evaluations.of_run(session, run_id))


@router.post(
    "",
    status_code=202,
    responses={
        200: {"model": Evaluation, "description": "The stored result of an earlier request"},
        **responses(400, 404, 409, 413, 422),
    },
)
def add_evaluation(
    run_id: RunId,
    body: EvaluationSpec,
    response: Response,
    database: DatabaseDep,
    catalog: CatalogDep,
    queue: QueueDep,
    store: StoreDep,
    key: IdempotencyKey,
) -> Evaluation:
    """Evaluate a run that has a checkpoint. A request with the same key and parameters returns the earlier result; an
    evaluation that failed, or is of an older checkpoint, is run again."""

    def make(session: Session) -> tuple[str, bool]:
        requested = request_evaluation(session, catalog, queue, store, run_id, body)
        return requested.name, requested.reused

    name, reused = once(database, key, {"run": run_id, "evaluation": body.model_dump(mode="json")}, make).made
    if reused:
        response.status_code = 200
    try_deliver(database, queue)
    with database.read() as session:
        answer = evaluations.named(session, run_id, name)
    if answer is None:
        raise not_found(run_id)
    response.headers["Location"] = f"/api/v1/tasks/{answer.task}"
    return answer


@router.get("/{name}/samples", responses=responses(404, 409, 422))
def list_sample_values(
    run_id: RunId,
    name: EvaluationName,
    session: Reading,
    store: StoreDep,
    array: Annotated[str, Query(description="name of an array of the evaluation", max_length=64)],
    equals: Annotated[
        float | None, Query(description="only images with this value; 1 for true", allow_inf_nan=False)
    ] = None,
    order: Annotated[
        Literal["index", "lowest", "highest"], Query(description="by index, or by the value of the array")
    ] = "index",
    limit: Annotated[int, Query(ge=1, le=500, description="images")] = 50,
) -> SampleValues:
    """Return the test images behind a metric: those misclassified from an epsilon on (`array=broken_at&equals=0.1`),
    those of a group (`array=group&equals=3`), the least stable (`array=cosine&order=lowest`)."""
    get_run(session, run_id)
    return sample_values(session, store, run_id, name, array, equals=equals, order=order, limit=limit)
