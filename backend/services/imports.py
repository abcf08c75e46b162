"""Imports of models that were trained elsewhere, and inspections of their files."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.orm import Session

from densitylab.backend.broker.queue import Queue
from densitylab.backend.services.availability import require_available
from densitylab.backend.services.experiments import ensure_prepared
from densitylab.backend.services.ownership import require_owner
from densitylab.backend.shared import specs
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.catalog import Catalog, DatasetEntry, ModelEntry, UnknownKey
from densitylab.backend.shared.contracts import (
    FieldError,
    ImportRequest,
    InspectRequest,
    ModelInterface,
    Origin,
    QueueName,
    RunSpec,
    TaskKind,
)
from densitylab.backend.shared.errors import Conflict, DomainError, InvalidField, InvalidRequest, NotFound
from densitylab.backend.shared.store import experiments, imports, owners, runs, tasks

_OF_THE_REQUEST = ("/spec/interface/", "/spec/")  # where a field of the request lies in a run's spec


def safe_name(name: str | None) -> str:
    """Return the last part of a file's name, without characters that can't be stored or shown."""
    last = (name or "").replace("\\", "/").rpartition("/")[2]
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "", last)[:200] or "model"


def inspect(
    session: Session, catalog: Catalog, body: InspectRequest, owner: Caller, *, upload: str, file_name: str
) -> int:
    """Queue the inspection of an uploaded file; return the task's id. Raises InvalidRequest."""
    dataset = None
    if body.dataset is not None:
        errors: list[FieldError] = []
        _, params = specs.complete_params(catalog, "dataset", body.dataset.key, body.dataset.params, "/dataset", errors)
        if errors:
            raise InvalidRequest(errors)
        dataset = {"key": body.dataset.key, "params": params}
    payload = {"dataset": dataset, "upload": upload, "file_name": file_name}
    return tasks.create(session, TaskKind.INSPECT, payload=payload, owner=owner).id


def request(
    session: Session,
    catalog: Catalog,
    queue: Queue,
    body: ImportRequest,
    owner: Caller,
    provenance: dict[str, str],
    *,
    upload: str | None = None,
    file_name: str = "",
) -> int:
    """Queue an import; return the task's id. Its run exists once the task has succeeded.

    Args:
        session: a transaction that writes.
        catalog: that has the data set and the network.
        queue: whose workers must have the network.
        body: the request.
        owner: of the run.
        provenance: of the launch.
        upload: location of the uploaded file; None: of an earlier inspection, or the network's published weights.
        file_name: the upload's.

    Raises:
        InvalidRequest: fields are wrong, or no worker can run them.
        NotFound: there is no such experiment, run or inspection.
        Conflict: the run has weights already.
        NotPrepared: a data set that is not embedded is not ready.
    """
    with _pointing_into_the_request():
        planned = _planned(catalog, body)
        require_available(queue, catalog, planned.optional, QueueName.PREPARE)
    if body.experiment is not None:
        if not experiments.lock(session, body.experiment):
            raise NotFound("experiment", body.experiment, "/experiment")
        require_owner(owner, owners.of_experiment(session, body.experiment), f"experiment {body.experiment}")
    if body.run is not None:
        _check_logged_run(session, body, planned.spec, owner)
    with _pointing_into_the_request():
        ensure_prepared(session, catalog, [planned])
    if body.upload is not None:
        if upload is not None:
            raise InvalidField("expected either a file or the number of an inspection; got both", "/upload")
        inspected = imports.inspection(session, body.upload)
        if inspected is None:
            raise NotFound("inspected file", body.upload, "/upload")
        found, upload = inspected
        file_name = found.file_name
    elif upload is None:
        file_name = _published(catalog, planned.spec.model.key, planned.spec.model.params)
    payload = {
        "request": body.model_dump(mode="json"),
        "posted": body.model_dump(mode="json", exclude_unset=True),
        "spec": planned.spec.model_dump(mode="json"),
        "upload": upload,
        "inspection": body.upload,
        "file_name": file_name,
        "name": body.name or file_name,
        "experiment": body.experiment,
        "provenance": provenance,
    }
    return tasks.create(session, TaskKind.IMPORT, payload=payload, owner=owner).id


def _check_logged_run(session: Session, body: ImportRequest, spec: RunSpec, owner: Caller) -> None:
    """Check the run that gets the weights. Raises NotFound, NotOwner, InvalidField, Conflict."""
    run = runs.get(session, body.run or 0)
    if run is None:
        raise NotFound("run", body.run or 0, "/run")
    require_owner(owner, owners.of_run(session, run.id), f"run {run.id}")
    if body.experiment is not None:
        raise InvalidField("expected either a run or an experiment; got both", "/experiment")
    if run.origin is not Origin.LOGGED:
        raise InvalidField(f"run {run.id} is not one that a training loop of your own logged", "/run")
    if run.checkpoint_step is not None:
        raise Conflict(
            f"run {run.id} has weights already: log another run, or import them as a run of their own", "/run"
        )
    if not specs.same_data(run.spec.dataset, spec.dataset):
        raise InvalidField(f"expected the data set of run {run.id}, {run.spec.dataset.key}", "/dataset")


def _planned(catalog: Catalog, body: ImportRequest) -> specs.Planned:
    """Return the run that the import makes. Raises InvalidRequest."""
    if (body.mean is None) != (body.std is None):
        missing = "std" if body.std is None else "mean"
        raise InvalidField("expected mean and std together", f"/{missing}")
    if body.normalization is not None and body.mean is not None:
        raise InvalidField("expected either normalization, or mean and std; got both", "/normalization")
    dataset = catalog.by_kind[DatasetEntry.kind].get(body.dataset.key)
    channels = dataset.channels if isinstance(dataset, DatasetEntry) else None
    if body.normalization == "imagenet" and channels not in (None, 3):
        raise InvalidField(
            f"ImageNet's statistics are of 3 channels, and the data set has {channels}: expected dataset, half or none",
            "/normalization",
        )
    raw: dict[str, Any] = {
        "dataset": body.dataset.model_dump(),
        "model": body.model.model_dump(),
        "regularizer": {"key": "none"} if body.regularizer is None else body.regularizer.model_dump(),
        "lambda_": body.lambda_ or 0.0,
        "interface": _interface(catalog, body).model_dump(),
        "evaluations": [item.model_dump() for item in body.evaluations],
    }
    return specs.plan_run(catalog, raw)


def _interface(catalog: Catalog, body: ImportRequest) -> ModelInterface:
    outputs, order = body.outputs, body.class_order
    if body.class_names is not None:
        outputs = outputs or len(body.class_names)
        if outputs != len(body.class_names):
            raise InvalidField(
                f"expected a name for each of the {outputs} outputs; got {len(body.class_names)}", "/class_names"
            )
        order = order or _order_by_names(catalog, body.dataset.key, body.class_names)
    given = {name: getattr(body, name) for name in ModelInterface.model_fields}
    return ModelInterface(**{**given, "outputs": outputs, "class_order": order})


def _order_by_names(catalog: Catalog, key: str, names: list[str]) -> list[int] | None:
    try:
        classes = catalog.find(DatasetEntry, key).class_names
    except UnknownKey:
        return None  # named by the check of the spec
    order = specs.class_order(classes, names)
    if order is None:
        unmatched = specs.unmatched(classes, names)
        which = f"no single output has the name of {', '.join(unmatched[:10])}" if unmatched else "two share an output"
        raise InvalidField(f"{which}: give class_order instead, the output of each class", "/class_names")
    return None if order == list(range(len(names))) else order


def _published(catalog: Catalog, key: str, params: dict[str, Any]) -> str:
    """Return a name for the weights that a network's package publishes. Raises InvalidField without them."""
    entry = catalog.find(ModelEntry, key)
    if not any(param.first_weights and params.get(param.name) for param in entry.params):
        raise InvalidField(
            "expected the number of an inspection, a file (POST /api/v1/models/file), or a network with its published "
            "weights (its parameter pretrained)",
            "/upload",
        )
    return f"{params['name']} ({key})" if isinstance(params.get("name"), str) else f"{entry.label}, pretrained"


@contextmanager
def _pointing_into_the_request() -> Iterator[None]:
    """Let the errors of a run's spec name the field of the import's request instead."""
    try:
        yield
    except InvalidRequest as invalid:
        raise InvalidRequest(_in_the_request(invalid.errors)) from None
    except DomainError as error:
        error.errors = _in_the_request(error.errors)
        raise


def _in_the_request(errors: list[FieldError]) -> list[FieldError]:
    def moved(pointer: str) -> str:
        prefix = next((prefix for prefix in _OF_THE_REQUEST if pointer.startswith(prefix)), None)
        return pointer if prefix is None else "/" + pointer.removeprefix(prefix)

    return [FieldError(pointer=moved(error.pointer), detail=error.detail) for error in errors]
