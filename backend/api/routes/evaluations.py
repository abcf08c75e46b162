"""Measures taken of runs."""

from fastapi import APIRouter, Response

from backend.api.dependencies import DatabaseDep, QueueDep, Reading
from backend.api.problems import conflict, responses
from backend.api.routes.runs import RunId, found, missing
from backend.delivery import deliver_or_leave
from backend.shared import contracts, specs
from backend.shared.catalog import UnknownKey, find
from backend.shared.contracts import Evaluation, EvaluationSpec, FieldError, Status
from backend.shared.store import evaluations, runs, tasks

router = APIRouter(prefix="/runs/{run_id}/evaluations", tags=["evaluations"])


class EvaluationPage(contracts.Page):
    items: list[Evaluation]


@router.get("", responses=responses(404, 422))
def list_evaluations(run_id: RunId, session: Reading) -> EvaluationPage:
    found(runs.get(session, run_id), run_id)
    return EvaluationPage(items=evaluations.of_run(session, run_id))


@router.post(
    "", status_code=202,
    responses={200: {"model": Evaluation, "description": "Taken before, with the same parameters"},
               **responses(400, 404, 409, 413, 422)},
)
def add_evaluation(
    run_id: RunId, body: EvaluationSpec, response: Response, database: DatabaseDep, queue: QueueDep
) -> Evaluation:
    """Takes one more measure of a run that has a checkpoint; one that failed before is tried again."""
    with database.write() as session:
        if not runs.lock(session, run_id):
            raise missing(run_id)
        run = found(runs.get(session, run_id), run_id)
        spec = _complete(body, run.spec.dataset.key)
        if run.checkpoint_step is None:
            raise conflict(f"run {run_id} has no checkpoint yet: measures can be taken once it has trained")
        name = spec.name or spec.key
        kept = evaluations.named(session, run_id, name)
        if kept is None:
            evaluations.create(session, run_id, spec)
        elif (kept.key, kept.params) != (spec.key, spec.params):
            raise conflict(
                f"run {run_id} already has an evaluation {name!r} with other parameters; choose another name", "/name"
            )
        elif kept.status not in (Status.FAILED, Status.CANCELLED):
            response.status_code = 200
        else:
            tasks.retry(session, kept.task)
    deliver_or_leave(database, queue)
    with database.read() as session:
        answer = evaluations.named(session, run_id, name)
    if answer is None:
        raise missing(run_id)
    response.headers["Location"] = f"/api/v1/tasks/{answer.task}"
    return answer


def _complete(body: EvaluationSpec, dataset: str) -> EvaluationSpec:
    """The evaluation with every default filled in. Raises InvalidRequest."""
    spec = body.model_copy(deep=True)
    errors: list[FieldError] = []
    try:
        entry = find("dataset", dataset)
    except UnknownKey:
        entry = None  # a run of a data set that is no longer on offer
    specs.check_evaluations([spec], entry, "", errors)
    if errors:
        # It stands at "/0" in the list that was checked, and at the root of the body
        raise specs.InvalidRequest([
            FieldError(pointer=error.pointer.removeprefix("/0"), detail=error.detail) for error in errors
        ])
    return spec
