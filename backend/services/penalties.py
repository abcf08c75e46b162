"""Requests for mean penalties: check them, and queue them."""

from typing import Any

from sqlalchemy.orm import Session

from densitylab.backend.broker.queue import Queue
from densitylab.backend.services import datasets
from densitylab.backend.services.attributions import RunNotReady
from densitylab.backend.services.availability import require_available
from densitylab.backend.shared import specs
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.catalog import Catalog, RegularizerEntry
from densitylab.backend.shared.contracts import FieldError, PenaltyRequest, QueueName, RunSpec, TaskKind
from densitylab.backend.shared.errors import InvalidField, InvalidRequest, NotFound
from densitylab.backend.shared.store import runs, tasks


def request(session: Session, catalog: Catalog, queue: Queue, body: PenaltyRequest, owner: Caller) -> int:
    """Queue the computation; return the task's id.

    Raises:
        InvalidRequest: a field is wrong, the regularizer has no penalty, the run is of another data set or network, or
            no worker can compute it.
        NotFound: there is no such run.
        RunNotReady: the run is in training or has no checkpoint.
        NotPrepared: the data set is not embedded and not ready.
    """
    planned = specs.plan_run(catalog, {"evaluations": [], **body.spec})  # none is run, so none has to fit the data
    spec = planned.spec
    entry = catalog.find(RegularizerEntry, spec.regularizer.key)
    if not entry.penalises:
        raise InvalidField(
            f"{entry.label} has no penalty, so there is no λ to suggest: choose a regularizer", "/spec/regularizer/key"
        )
    reference = _reference(catalog, entry, spec.regularizer.params, body.reference)
    require_available(queue, catalog, planned.optional, QueueName.INTERACTIVE)
    datasets.ensure_prepared(session, catalog, spec.dataset.key, spec.dataset.params, "/spec/dataset/key")
    if body.run is not None:
        _check_run(session, spec, body.run)
    payload = {
        "spec": spec.model_dump(mode="json"),
        "lambda_": body.lambda_,
        "reference": reference,
        "seeds": [] if body.run is not None else body.seeds or [spec.seed],
        "run": body.run,
        "images": body.images,
    }
    return tasks.create(session, TaskKind.PENALTIES, payload=payload, owner=owner).id


def _reference(
    catalog: Catalog, entry: RegularizerEntry, params: dict[str, Any], given: dict[str, Any]
) -> dict[str, Any]:
    """Return the reference parameters, complete. Raises InvalidRequest."""
    kept = {param.name: params[param.name] for param in entry.params if param.rescales is None}
    errors: list[FieldError] = []
    _, reference = specs.complete_params(catalog, "regularizer", entry.key, {**kept, **given}, "", errors)
    if errors:
        moved = [(f"/reference{error.pointer.removeprefix('/params')}", error.detail) for error in errors]
        raise InvalidRequest([FieldError(pointer=pointer, detail=detail) for pointer, detail in moved])
    return reference


def _check_run(session: Session, spec: RunSpec, run_id: int) -> None:
    """Check the run whose weights are to be taken. Raises InvalidField, NotFound, RunNotReady."""
    run = runs.get(session, run_id)
    if run is None:
        raise NotFound("run", run_id, "/run")
    if not run.status.final or run.checkpoint_step is None:
        raise RunNotReady(
            f"run {run_id} is {run.status} and has no model to take the weights of yet: name one that has trained",
            "/run",
        )
    if not specs.same_data(run.spec.dataset, spec.dataset) or run.spec.model != spec.model:
        raise InvalidField(
            f"expected a run of this data set and network; run {run_id} is of {run.spec.model.key} on "
            f"{run.spec.dataset.key}, perhaps with other parameters",
            "/run",
        )
