"""Checks of a request for maps, and the identity under which its result is kept."""

from sqlalchemy.orm import Session

from backend.shared import specs
from backend.shared.catalog import UnknownKey, find
from backend.shared.contracts import AttributionRequest, FieldError, Run
from backend.shared.specs import InvalidRequest
from backend.shared.store import attributions, datasets, runs


class NotNow(RuntimeError):
    """The request is well formed, but a run is not ready for it; `pointer` names the field."""

    def __init__(self, detail: str, pointer: str) -> None:
        self.pointer = pointer
        super().__init__(detail)


class UnknownRun(LookupError):
    """A run does not exist (any more); `pointer` names the field."""

    def __init__(self, run_id: int, pointer: str) -> None:
        self.run_id, self.pointer = run_id, pointer
        super().__init__(run_id)


def ask(session: Session, request: AttributionRequest) -> int:
    """The id of the maps that were asked for: kept ones of the same content, or new ones to be delivered.

    Raises:
        InvalidRequest: a field is wrong, an index or class is out of range, or the runs are of different data.
        UnknownRun: a run does not exist.
        NotNow: a run is in training or has no checkpoint, or the data set is not prepared.
    """
    errors: list[FieldError] = []
    _, params = specs.complete_params("attribution", request.method, request.params, "", errors)
    # `key` is what the request calls `method`
    errors = [FieldError(pointer="/method", detail=e.detail) if e.pointer == "/key" else e for e in errors]
    if errors:
        raise InvalidRequest(errors)
    members = _runs(session, request)
    for position, run in enumerate(members):
        reason = specs.unfit(find("attribution", request.method), run.spec.model)
        if reason is not None:
            raise InvalidRequest([FieldError(pointer=f"/runs/{position}", detail=f"run {run.id}: {reason}")])
    data_hash = _check_data(session, request, members)
    checkpoints = runs.checkpoints(session, request.runs)
    asked = {**request.model_dump(), "params": params}
    content_hash = specs.content_hash({
        "request": asked, "data": data_hash,
        "checkpoints": [
            [checkpoints[run_id].location, checkpoints[run_id].step, checkpoints[run_id].created_at]
            for run_id in request.runs
        ],
    })
    kept = attributions.kept(session, content_hash)
    return attributions.create(session, asked, content_hash) if kept is None else kept


def _runs(session: Session, request: AttributionRequest) -> list[Run]:
    """The runs, each trained and with a checkpoint."""
    known = runs.many(session, request.runs)
    for position, run_id in enumerate(request.runs):
        at = f"/runs/{position}"
        if run_id not in known:
            raise UnknownRun(run_id, at)
        if run_id in request.runs[:position]:
            raise InvalidRequest([FieldError(pointer=at, detail=f"run {run_id} is named twice")])
        run = known[run_id]
        if not run.status.final:
            raise NotNow(f"run {run_id} is {'queued' if run.status == 'queued' else 'still training'}: its maps can be "
                         "drawn when it has finished", at)
        if run.checkpoint_step is None:
            raise NotNow(f"run {run_id} has no checkpoint: it {run.status} before one was stored, so it has no model "
                         "to draw maps of", at)
    return [known[run_id] for run_id in request.runs]


def _check_data(session: Session, request: AttributionRequest, members: list[Run]) -> str | None:
    """One data set for all runs, with images and a class of those numbers; returns the data's hash."""
    used = {(run.spec.dataset.key, specs.content_hash(run.spec.dataset.params), run.provenance.get("data_hash"))
            for run in members}
    if len(used) > 1:
        raise InvalidRequest([FieldError(
            pointer="/runs",
            detail="expected runs of one data set with the same images, got "
                   + ", ".join(f"run {run.id} on {run.spec.dataset.key}" for run in members)
                   + "; maps of different images cannot be compared",
        )])
    dataset = members[0].spec.dataset
    row = datasets.get(session, dataset.key, dataset.params)
    if row is None or not row.ready:
        raise NotNow(f"the data set {dataset.key!r} is not prepared here: POST /api/v1/datasets/{dataset.key}/prepare, "
                     "and try again when its task has succeeded", "/runs")
    split, size = request.samples.split, row.sizes.get(request.samples.split, 0)
    errors = [
        FieldError(pointer=f"/samples/indices/{position}",
                   detail=f"expected 0 to {size - 1}, an image of the {split} split; got {index}")
        for position, index in enumerate(request.samples.indices) if index >= size
    ]
    try:
        classes = find("dataset", dataset.key).num_classes
    except UnknownKey:
        classes = None  # no longer on offer: the worker says so
    if isinstance(request.target, int) and classes is not None and request.target >= classes:
        errors.append(FieldError(
            pointer="/target", detail=f"expected a class from 0 to {classes - 1}; got {request.target}"
        ))
    if errors:
        raise InvalidRequest(errors)
    return members[0].provenance.get("data_hash")
