"""Requests for maps: check them, and reuse a stored result of the same content."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from densitylab.backend.broker.queue import Queue
from densitylab.backend.services.availability import require_available
from densitylab.backend.shared import npz, specs
from densitylab.backend.shared.artifacts import ArtifactStore, DamagedFile
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.catalog import AttributionEntry, Catalog, DatasetEntry, PerturbationEntry, UnknownKey
from densitylab.backend.shared.contracts import AttributionRequest, FieldError, ProblemType, QueueName, Run
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.errors import Conflict, InvalidField, InvalidRequest, NotFound
from densitylab.backend.shared.store import attributions, datasets, run_artifacts, runs, uploads
from densitylab.backend.shared.tables import DatasetRow


class RunNotReady(Conflict):
    """A well-formed request whose run has not finished, has no checkpoint, or whose data set is not prepared."""


class MapsDamaged(Conflict):
    """Stored maps that can't be read and are drawn again."""

    type = ProblemType.DAMAGED_FILE


@dataclass(frozen=True)
class Checked:
    """A valid request with every default, its runs, and the hash of all that decides its result."""

    request: dict[str, Any]
    runs: list[Run]
    content_hash: str


def check(session: Session, catalog: Catalog, request: AttributionRequest) -> Checked:
    """Return the request with every default.

    Raises:
        InvalidRequest: a field is wrong, an index or class is out of range, or the runs are of different data.
        NotFound: a run does not exist.
        RunNotReady: a run is in training or has no checkpoint, or the data set is not prepared.
    """
    errors: list[FieldError] = []
    completed = request.model_dump()
    _, completed["params"] = specs.complete_params(catalog, "attribution", request.method, request.params, "", errors)
    # `key` is what the request calls `method`
    errors = [FieldError(pointer="/method", detail=e.detail) if e.pointer == "/key" else e for e in errors]
    if request.perturbation is not None:
        _, completed["perturbation"]["params"] = specs.complete_params(
            catalog, "perturbation", request.perturbation.key, request.perturbation.params, "/perturbation", errors
        )
    if errors:
        raise InvalidRequest(errors)
    members = trained_runs(session, request.runs, "/runs")
    method = catalog.find(AttributionEntry, request.method)
    for position, run in enumerate(members):
        reason = _incompatibility(catalog, method, completed["params"], run)
        if reason is not None:
            raise InvalidField(f"run {run.id}: {reason}", f"/runs/{position}")
    dataset = shared_dataset(session, members, "/runs")
    _check_samples(session, catalog, request, members, dataset)
    decides: dict[str, Any] = {"request": completed, "of": identity(session, members)}
    if request.perturbation is not None:
        version = catalog.find(PerturbationEntry, request.perturbation.key).version
        decides |= {"version": version} if version > 1 else {}
    content_hash = specs.content_hash(decides)
    return Checked(completed, members, content_hash)


def _incompatibility(catalog: Catalog, method: AttributionEntry, params: dict[str, Any], run: Run) -> str | None:
    try:
        images = catalog.dataset(run.spec.dataset.key, run.spec.dataset.params)
    except UnknownKey:
        return None  # no longer on offer
    return specs.incompatibility(catalog, method, params, run.spec.model, images)


def request(session: Session, catalog: Catalog, queue: Queue, body: AttributionRequest, owner: Caller) -> int:
    """Return the id of the requested maps: stored ones of the same content, or new ones for the caller to deliver.

    Raises:
        InvalidRequest, NotFound, RunNotReady: see `check`; and InvalidRequest where no worker can draw them.
    """
    checked = check(session, catalog, body)
    stored = attributions.reusable(session, checked.content_hash)
    if stored is not None:
        return stored
    require_available(queue, catalog, _optional_entries(catalog, checked.request), QueueName.INTERACTIVE)
    return attributions.create(session, checked.request, checked.content_hash, owner=owner)


def arrays(database: Database, store: ArtifactStore, attribution_id: int) -> tuple[bytes, str]:
    """Return the file of the maps and its location.

    Raises:
        NotFound: there are no such maps.
        MapsDamaged: the file is damaged or missing; they are queued to be drawn again, for the caller to deliver.
        Conflict: they are not drawn yet.
    """
    with database.read() as session:
        answer, location = attributions.get(session, attribution_id), attributions.location(session, attribution_id)
    if answer is None:
        raise NotFound("attribution", attribution_id, "/path/attribution_id")
    if location is None:
        raise Conflict(f"attribution {attribution_id} has no maps: it is {answer.status}")
    try:
        return npz.read_file(store, location), location
    except (DamagedFile, FileNotFoundError):
        with database.write() as session:
            if attributions.location(session, attribution_id) == location:
                attributions.draw_again(session, attribution_id)
        store.delete(location)
    raise MapsDamaged(
        f"the stored maps of attribution {attribution_id} are damaged, so they are drawn again: try again when its "
        "status is succeeded"
    )


def _optional_entries(catalog: Catalog, body: dict[str, Any]) -> Iterator[specs.OptionalEntry]:
    yield from specs.optional_component(catalog, "attribution", body["method"], body["params"], "", name="method")
    perturbation = body.get("perturbation")
    if perturbation is not None:
        key, params = perturbation["key"], perturbation["params"]
        yield from specs.optional_component(catalog, "perturbation", key, params, "/perturbation")


def identity(session: Session, members: Sequence[Run]) -> Any:
    """Return what decides a result beside the request: the data and the checkpoints."""
    checkpoints = run_artifacts.checkpoints(session, [run.id for run in members])
    return [
        members[0].provenance.get("data_hash"),
        *([checkpoints[run.id].location, checkpoints[run.id].step, checkpoints[run.id].created_at] for run in members),
    ]


def trained_runs(session: Session, run_ids: Sequence[int], at: str) -> list[Run]:
    """Return the runs, each trained and with a checkpoint.

    Raises:
        InvalidRequest, NotFound, RunNotReady: with the pointer `at`/position.
    """
    known = runs.many(session, run_ids)
    for position, run_id in enumerate(run_ids):
        pointer = f"{at}/{position}"
        if run_id not in known:
            raise NotFound("run", run_id, pointer)
        if run_id in run_ids[:position]:
            raise InvalidField(f"run {run_id} is named twice", pointer)
        run = known[run_id]
        if not run.status.final:
            raise RunNotReady(
                f"run {run_id} is {'queued' if run.status == 'queued' else 'still training'}: its maps can be "
                "drawn when it has finished",
                pointer,
            )
        if run.checkpoint_step is None:
            raise RunNotReady(
                f"run {run_id} has no checkpoint: it {run.status} before one was stored, so it has no model "
                "to draw maps of",
                pointer,
            )
    return [known[run_id] for run_id in run_ids]


def shared_dataset(session: Session, members: Sequence[Run], pointer: str) -> DatasetRow:
    """Return the one prepared data set of all the runs. Raises InvalidRequest, RunNotReady."""
    used = {
        (run.spec.dataset.key, specs.dataset_hash(run.spec.dataset.params), run.provenance.get("data_hash"))
        for run in members
    }
    if len(used) > 1:
        raise InvalidField(
            "expected runs of one data set with the same images, got "
            + ", ".join(f"run {run.id} on {run.spec.dataset.key}" for run in members)
            + "; maps of different images cannot be compared",
            pointer,
        )
    dataset = members[0].spec.dataset
    row = datasets.get(session, dataset.key, dataset.params)
    if row is None or not row.ready:
        raise RunNotReady(
            f"the data set {dataset.key!r} is not prepared here: POST /api/v1/datasets/{dataset.key}/prepare, "
            "and try again when its task has succeeded",
            pointer,
        )
    return row


def _check_samples(
    session: Session, catalog: Catalog, request: AttributionRequest, members: list[Run], dataset: DatasetRow
) -> None:
    """Raise InvalidRequest where an image or the target class does not exist."""
    samples = request.samples
    indices = [(f"/samples/indices/{position}", index) for position, index in enumerate(samples.indices)]
    errors = image_errors(session, catalog, samples.split, indices, dataset)
    if samples.split == "upload" and request.target == "label":
        errors.append(
            FieldError(
                pointer="/target", detail="an uploaded image has no label: expected 'predicted' or a class index"
            )
        )
    try:
        classes = catalog.find(DatasetEntry, members[0].spec.dataset.key).num_classes
    except UnknownKey:
        classes = None  # no longer in the catalog: the worker reports it
    if isinstance(request.target, int) and classes is not None and request.target >= classes:
        errors.append(
            FieldError(pointer="/target", detail=f"expected a class from 0 to {classes - 1}; got {request.target}")
        )
    if errors:
        raise InvalidRequest(errors)


def image_errors(
    session: Session, catalog: Catalog, split: str, indices: Sequence[tuple[str, int]], dataset: DatasetRow
) -> list[FieldError]:
    """Return an error for each (pointer, index) that is no image of the split, or no upload for these images."""
    if split != "upload":
        size = dataset.sizes.get(split, 0)
        return [
            FieldError(pointer=pointer, detail=f"expected 0 to {size - 1}, an image of the {split} split; got {index}")
            for pointer, index in indices
            if index >= size
        ]
    uploaded = uploads.many(session, [index for _, index in indices])
    entry = catalog.by_kind[DatasetEntry.kind].get(dataset.key)
    shape = entry.sized(dataset.params).shape if isinstance(entry, DatasetEntry) else None
    errors = []
    for pointer, index in indices:
        if index not in uploaded:
            errors.append(FieldError(pointer=pointer, detail=f"there is no uploaded image {index} (any more)"))
        elif uploaded[index].dataset != dataset.key:
            errors.append(
                FieldError(
                    pointer=pointer,
                    detail=f"the uploaded image {index} was fitted to {uploaded[index].dataset}; "
                    f"upload it for {dataset.key}, the data of these runs",
                )
            )
        elif shape is not None and len(uploaded[index].pixels) != math.prod(shape):
            errors.append(
                FieldError(
                    pointer=pointer,
                    detail=f"the uploaded image {index} was fitted to another image size; upload it for "
                    f"{shape[1]}×{shape[2]} pixels, the size of these runs' images",
                )
            )
    return errors
