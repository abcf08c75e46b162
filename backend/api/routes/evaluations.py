"""Measures taken of runs."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response

from backend import launching, measuring
from backend.api.dependencies import DatabaseDep, QueueDep, Reading, RegisteredKnown, StoreDep
from backend.api.measured import measured_samples, per_sample
from backend.api.problems import conflict, not_found, responses
from backend.api.routes.runs import RunId, found, missing
from backend.delivery import deliver_or_leave
from backend.shared import contracts, specs
from backend.shared.contracts import Evaluation, EvaluationSpec, FieldError, MeasuredSamples
from backend.shared.store import evaluations, runs

router = APIRouter(prefix="/runs/{run_id}/evaluations", tags=["evaluations"])
EvaluationName = Annotated[str, Path(pattern=r"^[a-z0-9_]+$", max_length=64)]


class EvaluationPage(contracts.Page):
    items: list[Evaluation]


@router.get("", responses=responses(404, 422))
def list_evaluations(run_id: RunId, session: Reading) -> EvaluationPage:
    found(runs.get(session, run_id), run_id)
    return EvaluationPage(items=evaluations.of_run(session, run_id))


@router.post(
    "", status_code=202, dependencies=[RegisteredKnown],
    responses={200: {"model": Evaluation, "description": "Taken before, with the same parameters"},
               **responses(400, 404, 409, 413, 422)},
)
def add_evaluation(
    run_id: RunId, body: EvaluationSpec, response: Response, database: DatabaseDep, queue: QueueDep
) -> Evaluation:
    """Takes one more measure of a run that has a checkpoint. The same measure with the same parameters is answered from
    what is kept; one that failed, or is of an older checkpoint, is taken again."""
    try:
        with database.write() as session:
            if not runs.lock(session, run_id):
                raise missing(run_id)
            run = found(runs.get(session, run_id), run_id)
            name, kept = measuring.ask(session, run, body)
    except specs.InvalidRequest as invalid:
        raise measuring.at_root(invalid) from None
    except measuring.NotTrained as untrained:
        raise conflict(str(untrained)) from None
    except measuring.NameTaken as taken:
        raise conflict(str(taken), "/name") from None
    except launching.NotPrepared as unprepared:
        link = f'</api/v1/datasets/{unprepared.key}/prepare>; rel="prepare"'
        raise conflict(str(unprepared), "/params", {"Link": link}) from None
    if kept:
        response.status_code = 200
    deliver_or_leave(database, queue)
    with database.read() as session:
        answer = evaluations.named(session, run_id, name)
    if answer is None:
        raise missing(run_id)
    response.headers["Location"] = f"/api/v1/tasks/{answer.task}"
    return answer


@router.get("/{name}/samples", responses=responses(404, 409, 422))
def list_measured_samples(
    run_id: RunId, name: EvaluationName, session: Reading, store: StoreDep,
    array: Annotated[str, Query(description="which of the measure's arrays", max_length=64)],
    equals: Annotated[float | None, Query(description="only images with this value; 1 for true", allow_inf_nan=False)
                      ] = None,
    order: Annotated[Literal["index", "lowest", "highest"], Query()] = "index",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> MeasuredSamples:
    """The test images behind a figure: those that flipped at an epsilon (`array=broken_at&equals=0.1`), those of a
    group (`array=group&equals=3`), the least stable (`array=cosine&order=lowest`)."""
    found(runs.get(session, run_id), run_id)
    if evaluations.named(session, run_id, name) is None:
        raise not_found("evaluation", name, "/path/name")
    stored = runs.artifact(session, run_id, f"{name}.npz")
    if stored is None:
        raise conflict(f"evaluation {name!r} of run {run_id} has kept no values of single images (yet)")
    try:
        arrays = per_sample(store.read(stored.location))
    except FileNotFoundError:
        raise not_found("evaluation", name, "/path/name") from None
    if array not in arrays:
        raise specs.InvalidRequest([FieldError(
            pointer="/query/array", detail=f"expected one of {', '.join(sorted(arrays))}; got {array!r}"
        )])
    return measured_samples(arrays, array, equals=equals, order=order, limit=limit)
