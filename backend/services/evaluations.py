"""Evaluations of trained runs: a request for one, and its values per image."""

from dataclasses import dataclass

import numpy as np
from sqlalchemy.orm import Session

from densitylab.backend.broker.queue import Queue
from densitylab.backend.services.availability import require_available
from densitylab.backend.services.experiments import prepare_evaluation_data, source_run_errors
from densitylab.backend.services.image_arrays import indices_of, of_images
from densitylab.backend.services.runs import damaged
from densitylab.backend.shared import npz, specs
from densitylab.backend.shared.artifacts import ArtifactStore, DamagedFile
from densitylab.backend.shared.catalog import Catalog, DatasetEntry, UnknownKey
from densitylab.backend.shared.contracts import EvaluationSpec, FieldError, Run, SampleValue, SampleValues
from densitylab.backend.shared.errors import Conflict, InvalidField, InvalidRequest, NotFound
from densitylab.backend.shared.store import evaluations, run_artifacts, runs, tasks


@dataclass(frozen=True)
class Requested:
    """The name of a requested evaluation, and whether its result is stored or on its way already."""

    name: str
    reused: bool


def request(
    session: Session, catalog: Catalog, queue: Queue, store: ArtifactStore, run_id: int, body: EvaluationSpec
) -> Requested:
    """Queue an evaluation of a run, or reuse an earlier one.

    An evaluation with the same key, split and parameters, of the run's present checkpoint, is reused whatever its name,
    unless the request names another. One that failed, was cancelled, is of an older checkpoint or version, or whose
    file is damaged is run again.
    Without a name the evaluation has its default name, with a number if that is taken.

    Raises:
        NotFound: there is no such run.
        InvalidRequest: fields are wrong, or no worker can run it.
        Conflict: the run has no checkpoint, or the name is taken by an evaluation with other settings.
        NotPrepared: a data set that the evaluation needs is not ready.
    """
    run = runs.get(session, run_id) if runs.lock(session, run_id) else None
    if run is None:
        raise NotFound("run", run_id, "/path/run_id")
    spec = _complete(catalog, body, run)
    require_available(queue, catalog, specs.optional_component(catalog, "evaluation", spec.key, spec.params, ""))
    errors = source_run_errors(session, catalog, run.spec.dataset, spec, "", run_id)
    if errors:
        raise InvalidRequest(errors)
    if run.checkpoint_step is None:
        raise Conflict(f"run {run_id} has no checkpoint yet: it can be evaluated once it has trained")
    prepare_evaluation_data(session, catalog, spec, "/params")
    if body.name is None:
        earlier = evaluations.alike(session, run_id, spec)
        if earlier is None:
            spec.name = _free_name(session, run_id, spec.default_name)
    else:
        earlier = evaluations.named(session, run_id, body.name)
    if earlier is None:
        evaluations.create(session, run_id, spec)
        return Requested(spec.name or spec.default_name, reused=False)
    if not evaluations.same_settings(earlier, spec):
        raise Conflict(
            f"run {run_id} already has an evaluation {earlier.name!r} with other settings; choose another name",
            "/name",
        )
    stored = run_artifacts.artifact(session, run_id, f"{earlier.name}.npz")
    usable = stored is None or npz.intact(store, stored.location)
    if not earlier.status.final or (usable and evaluations.is_current(catalog, earlier, run.checkpoint_step)):
        return Requested(earlier.name, reused=True)
    tasks.retry(session, earlier.task, succeeded=True)
    return Requested(earlier.name, reused=False)


def _free_name(session: Session, run_id: int, wanted: str) -> str:
    taken = {item.name for item in evaluations.of_run(session, run_id)}
    return next(name for name in (wanted, *(f"{wanted}_{n}" for n in range(2, len(taken) + 3))) if name not in taken)


def _complete(catalog: Catalog, body: EvaluationSpec, run: Run) -> EvaluationSpec:
    """Return the evaluation with every default filled in. Raises InvalidRequest."""
    spec = body.model_copy(deep=True)
    errors: list[FieldError] = []
    try:
        dataset: DatasetEntry | None = catalog.dataset(run.spec.dataset.key, run.spec.dataset.params)
    except UnknownKey:
        dataset = None  # a run of a data set that is no longer in the catalog
    specs.check_evaluations(catalog, [spec], dataset, run.spec.model, "", errors)
    if errors:  # the body is the first item of the list that was checked
        raise InvalidRequest(
            [FieldError(pointer=error.pointer.removeprefix("/0"), detail=error.detail) for error in errors]
        )
    return spec


def sample_values(
    session: Session,
    store: ArtifactStore,
    run_id: int,
    name: str,
    array: str,
    *,
    equals: float | None,
    order: str,
    limit: int,
) -> SampleValues:
    """Return at most `limit` images of the evaluation's split whose value in `array` is `equals` (None: any): by index,
    or with the lowest or highest value first and undefined values last.

    Raises:
        NotFound: there is no such evaluation.
        Conflict: it has stored no values per image, or they are damaged.
        InvalidRequest: it has no such array.
    """
    evaluation = evaluations.named(session, run_id, name)
    if evaluation is None:
        raise NotFound("evaluation", name, "/path/name")
    stored = run_artifacts.artifact(session, run_id, f"{name}.npz")
    if stored is None:
        raise Conflict(f"evaluation {name!r} of run {run_id} has stored no values per image (yet)")
    try:
        stored_arrays = npz.read_arrays(store.read(stored.location))
    except FileNotFoundError:
        raise NotFound("evaluation", name, "/path/name") from None
    except DamagedFile:
        raise damaged(run_id, stored.name) from None
    arrays = of_images(stored_arrays)
    if array not in arrays:
        raise InvalidField(f"expected one of {', '.join(sorted(arrays))}; got {array!r}", "/query/array")
    values = arrays[array].astype(np.float64)
    indices = indices_of(stored_arrays, len(values))
    # A value stored in single precision is not exactly the requested one
    chosen = np.arange(len(values)) if equals is None else np.flatnonzero(np.isclose(values, equals, rtol=1e-6, atol=0))
    if order != "index":
        key = values[chosen] if order == "lowest" else -values[chosen]
        chosen = chosen[np.argsort(key, kind="stable")]  # NaN goes last
    return SampleValues(
        split=evaluation.split,
        array=array,
        total=len(chosen),
        items=[
            SampleValue(
                index=int(indices[position]),
                value=_number(values[position]),
                values={name: _number(float(column[position])) for name, column in arrays.items()},  # type: ignore[arg-type]
            )
            for position in chosen[:limit]
        ],
    )


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
