"""Checks of a request for maps, and the identity under which its result is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from backend.shared import specs
from backend.shared.catalog import UnknownKey, find
from backend.shared.contracts import AttributionRequest, DensityRequest, FieldError, Run, TaskKind
from backend.shared.specs import InvalidRequest
from backend.shared.store import attributions, datasets, runs, uploads
from backend.shared.tables import DatasetRow


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


@dataclass(frozen=True)
class Checked:
    """A request for maps that can be drawn, with every default, and the identity of its content."""

    request: dict[str, Any]
    runs: list[Run]
    content_hash: str


def check(session: Session, request: AttributionRequest) -> Checked:
    """The request, complete.

    Raises:
        InvalidRequest: a field is wrong, an index or class is out of range, or the runs are of different data.
        UnknownRun: a run does not exist.
        NotNow: a run is in training or has no checkpoint, or the data set is not prepared.
    """
    errors: list[FieldError] = []
    asked = request.model_dump()
    _, asked["params"] = specs.complete_params("attribution", request.method, request.params, "", errors)
    # `key` is what the request calls `method`
    errors = [FieldError(pointer="/method", detail=e.detail) if e.pointer == "/key" else e for e in errors]
    if request.perturbation is not None:
        _, asked["perturbation"]["params"] = specs.complete_params(
            "perturbation", request.perturbation.key, request.perturbation.params, "/perturbation", errors)
    if errors:
        raise InvalidRequest(errors)
    members = trained(session, request.runs, "/runs")
    for position, run in enumerate(members):
        reason = specs.unfit(find("attribution", request.method), run.spec.model)
        if reason is not None:
            raise InvalidRequest([FieldError(pointer=f"/runs/{position}", detail=f"run {run.id}: {reason}")])
    data = common_data(session, members, "/runs")
    _check_samples(session, request, members, data)
    content_hash = specs.content_hash({"request": asked, "of": _identity(session, members)})
    return Checked(asked, members, content_hash)


def ask(session: Session, request: AttributionRequest) -> int:
    """The id of the maps that were asked for: kept ones of the same content, or new ones to be delivered.

    Raises:
        InvalidRequest, UnknownRun, NotNow: see `check`.
    """
    checked = check(session, request)
    kept = attributions.kept(session, checked.content_hash)
    return attributions.create(session, checked.request, checked.content_hash) if kept is None else kept


def ask_density(session: Session, request: DensityRequest) -> int:
    """The id of the slices of log p that were asked for: kept ones of the same content, or new ones.

    Raises:
        InvalidRequest, UnknownRun, NotNow: see `check`.
    """
    if (request.direction == "image") != (request.towards is not None):
        raise InvalidRequest([FieldError(pointer="/towards", detail="expected an image with the direction 'image', and "
                                         "none with another")])
    if request.towards == request.index:
        raise InvalidRequest([FieldError(pointer="/towards", detail="expected another image than the one at hand")])
    members = trained(session, request.runs, "/runs")
    data = common_data(session, members, "/runs")
    errors = _wrong_images(session, request.split, [("/index", request.index)], data)
    if request.towards is not None:
        errors += _wrong_images(session, request.split, [("/towards", request.towards)], data)
    if errors:
        raise InvalidRequest(errors)
    asked = request.model_dump()
    content_hash = specs.content_hash({"density": asked, "of": _identity(session, members)})
    kept = attributions.kept(session, content_hash)
    return attributions.create(session, asked, content_hash, TaskKind.DENSITY) if kept is None else kept


def _identity(session: Session, members: Sequence[Run]) -> Any:
    """What decides the result beside the request: the data and the checkpoints."""
    checkpoints = runs.checkpoints(session, [run.id for run in members])
    return [members[0].provenance.get("data_hash"), *(
        [checkpoints[run.id].location, checkpoints[run.id].step, checkpoints[run.id].created_at] for run in members)]


def trained(session: Session, run_ids: Sequence[int], field: str) -> list[Run]:
    """The runs, each trained and with a checkpoint. Raises InvalidRequest, UnknownRun, NotNow; they name `field`/i."""
    known = runs.many(session, run_ids)
    for position, run_id in enumerate(run_ids):
        at = f"{field}/{position}"
        if run_id not in known:
            raise UnknownRun(run_id, at)
        if run_id in run_ids[:position]:
            raise InvalidRequest([FieldError(pointer=at, detail=f"run {run_id} is named twice")])
        run = known[run_id]
        if not run.status.final:
            raise NotNow(f"run {run_id} is {'queued' if run.status == 'queued' else 'still training'}: its maps can be "
                         "drawn when it has finished", at)
        if run.checkpoint_step is None:
            raise NotNow(f"run {run_id} has no checkpoint: it {run.status} before one was stored, so it has no model "
                         "to draw maps of", at)
    return [known[run_id] for run_id in run_ids]


def common_data(session: Session, members: Sequence[Run], at: str) -> DatasetRow:
    """The one prepared data set of all the runs. Raises InvalidRequest, NotNow, which name `at`."""
    used = {(run.spec.dataset.key, specs.content_hash(run.spec.dataset.params), run.provenance.get("data_hash"))
            for run in members}
    if len(used) > 1:
        raise InvalidRequest([FieldError(
            pointer=at,
            detail="expected runs of one data set with the same images, got "
                   + ", ".join(f"run {run.id} on {run.spec.dataset.key}" for run in members)
                   + "; maps of different images cannot be compared",
        )])
    dataset = members[0].spec.dataset
    row = datasets.get(session, dataset.key, dataset.params)
    if row is None or not row.ready:
        raise NotNow(f"the data set {dataset.key!r} is not prepared here: POST /api/v1/datasets/{dataset.key}/prepare, "
                     "and try again when its task has succeeded", at)
    return row


def _check_samples(session: Session, request: AttributionRequest, members: list[Run], data: DatasetRow) -> None:
    """Images and a class of those numbers."""
    samples = request.samples
    errors = _wrong_images(
        session, samples.split,
        [(f"/samples/indices/{position}", index) for position, index in enumerate(samples.indices)], data)
    if samples.split == "upload" and request.target == "label":
        errors.append(FieldError(pointer="/target", detail="an uploaded image has no label: expected 'predicted' or a "
                                 "class index"))
    try:
        classes = find("dataset", members[0].spec.dataset.key).num_classes
    except UnknownKey:
        classes = None  # no longer on offer: the worker says so
    if isinstance(request.target, int) and classes is not None and request.target >= classes:
        errors.append(FieldError(
            pointer="/target", detail=f"expected a class from 0 to {classes - 1}; got {request.target}"
        ))
    if errors:
        raise InvalidRequest(errors)


def _wrong_images(
    session: Session, split: str, asked: Sequence[tuple[str, int]], data: DatasetRow
) -> list[FieldError]:
    """What is wrong with (pointer, index) of images of a split, or of uploads."""
    if split != "upload":
        size = data.sizes.get(split, 0)
        return [FieldError(pointer=at, detail=f"expected 0 to {size - 1}, an image of the {split} split; got {index}")
                for at, index in asked if index >= size]
    brought = uploads.many(session, [index for _, index in asked])
    errors = []
    for at, index in asked:
        if index not in brought:
            errors.append(FieldError(pointer=at, detail=f"there is no uploaded image {index} (any more)"))
        elif brought[index].dataset != data.key:
            errors.append(FieldError(pointer=at, detail=f"the uploaded image {index} was fitted to "
                                     f"{brought[index].dataset}; upload it for {data.key}, the data of these runs"))
    return errors
