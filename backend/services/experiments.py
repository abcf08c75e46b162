"""Launch experiments: all runs of one, or none."""

from collections.abc import Iterable, Sequence
from functools import partial

from sqlalchemy.orm import Session

from densitylab.backend.broker.queue import Queue
from densitylab.backend.services import datasets, optuna_runs
from densitylab.backend.services.availability import require_available
from densitylab.backend.services.estimates.capacity import Capacity
from densitylab.backend.services.estimates.expected_times import with_expected_times
from densitylab.backend.services.idempotency import once
from densitylab.backend.services.initial_weights import inherit, with_sources
from densitylab.backend.services.search_runs import first_runs, validation_result
from densitylab.backend.shared import specs
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.catalog import Catalog, EvaluationEntry
from densitylab.backend.shared.contracts import Component, EvaluationSpec, ExperimentRequest, FieldError, OptunaSearch
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.errors import InvalidRequest
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import experiments, runs
from densitylab.backend.shared.store.idempotency import Key


def launch(
    database: Database,
    catalog: Catalog,
    queue: Queue,
    settings: Settings,
    request: ExperimentRequest,
    provenance: dict[str, str],
    key: Key,
) -> int:
    """Insert the experiment with its runs; return its id. The caller delivers the tasks.

    The same key and request within a day return the first id again.

    Raises:
        InvalidRequest: fields of the spec or the sweep are wrong, or no worker can run them.
        NotPrepared: a data set that is not embedded is not ready.
        IdempotencyConflict: the key came with another request.
        NotInstalled: the search needs a package that is not installed.
    """
    with database.read() as session:
        planned = plan(session, catalog, request)
    require_available(queue, catalog, optional_entries(planned))
    posted = request.model_dump(exclude_unset=True)
    make = partial(
        insert,
        catalog=catalog,
        capacity=Capacity.find(queue, settings),
        request=request,
        planned=planned,
        provenance=provenance,
        owner=key.caller,
    )
    return once(database, key, posted, make).made


def insert(
    session: Session,
    *,
    catalog: Catalog,
    capacity: Capacity,
    request: ExperimentRequest,
    planned: Sequence[specs.Planned],
    provenance: dict[str, str],
    owner: Caller,
) -> int:
    """Insert the experiment with its planned runs, and begin its search; return its id. Raises as `launch` does."""
    ready = with_sources(session, catalog, planned, lock=True)
    ensure_prepared(session, catalog, ready)
    ready = with_expected_times(session, catalog, capacity, ready)
    row = experiments.create(
        session,
        name=request.name,
        notes=request.notes,
        tags=request.tags,
        request=request.model_dump(exclude_unset=True),
        planned=ready,
        provenance=provenance,
        priority=request.priority,
        owner=owner,
        workers=capacity.workers,
    )
    if isinstance(request.search, OptunaSearch):
        optuna_runs.begin(session, row.id, request, request.search, ready, provenance)
    elif request.search is not None:
        on_validation = validation_result(ready[-1].spec, request.search.result)
        experiments.begin_search(
            session, row.id, request.search, provenance, request.priority, validation_result=on_validation
        )
    return row.id


def plan(session: Session, catalog: Catalog, request: ExperimentRequest) -> list[specs.Planned]:
    """Return the runs of a launch; of a search the first ones. Raises InvalidRequest."""
    planned = specs.plan(catalog, request.spec, request.sweep, inherit(session, catalog))
    if isinstance(request.search, OptunaSearch):
        return optuna_runs.first_runs(session, catalog, request, request.search, planned[0].spec)
    return planned if request.search is None else first_runs(catalog, request, request.search, planned)


def optional_entries(planned: Iterable[specs.Planned]) -> list[specs.OptionalEntry]:
    """Return the entries of all runs that a worker may lack, each once."""
    return list(dict.fromkeys(entry for item in planned for entry in item.optional))


def ensure_prepared(session: Session, catalog: Catalog, planned: Iterable[specs.Planned]) -> None:
    """Queue the preparation of all embedded data that runs need. Raises NotPrepared, InvalidRequest."""
    checked = set()
    for run in planned:
        spec = run.spec
        needs = specs.content_hash([spec.dataset.model_dump(), [item.model_dump() for item in spec.evaluations]])
        if needs in checked:  # most runs of a sweep need the same
            continue
        checked.add(needs)
        datasets.ensure_prepared(session, catalog, spec.dataset.key, spec.dataset.params, "/spec/dataset/key")
        check_source_runs(session, catalog, run)
        for item in spec.evaluations:
            prepare_evaluation_data(session, catalog, item, "/spec/dataset/key")


def prepare_evaluation_data(session: Session, catalog: Catalog, evaluation: EvaluationSpec, pointer: str) -> None:
    """Queue the preparation of the embedded data sets that an evaluation names. Raises NotPrepared for any other."""
    for param in catalog.find(EvaluationEntry, evaluation.key).params:
        if param.kind == "dataset" and evaluation.params[param.name] is not None:
            named = evaluation.params[param.name]
            datasets.ensure_prepared(session, catalog, named["key"], named["params"], pointer)


def check_source_runs(session: Session, catalog: Catalog, planned: specs.Planned) -> None:
    """Check the other runs that a spec's evaluations name. Raises InvalidRequest."""
    spec = planned.spec
    errors = [
        error
        for index, item in enumerate(spec.evaluations, planned.first)
        for error in source_run_errors(session, catalog, spec.dataset, item, f"/spec/evaluations/{index}")
    ]
    if errors:
        raise InvalidRequest(errors)


def source_run_errors(
    session: Session,
    catalog: Catalog,
    dataset: Component,
    evaluation: EvaluationSpec,
    at: str,
    evaluated_run: int | None = None,
) -> list[FieldError]:
    """Return what is wrong with the other runs that an evaluation names: a run that does not exist, is the evaluated
    one, was trained on other data, or has no checkpoint."""
    return [
        FieldError(pointer=f"{at}/params/{param.name}", detail=reason)
        for param in catalog.find(EvaluationEntry, evaluation.key).params
        if param.type == "run"
        and evaluation.params[param.name] is not None
        and (reason := _unusable(session, evaluation.params[param.name], dataset, evaluated_run)) is not None
    ]


def _unusable(session: Session, run_id: int, dataset: Component, evaluated_run: int | None) -> str | None:
    source = runs.get(session, run_id)
    if source is None:
        return f"there is no run {run_id}"
    if run_id == evaluated_run:
        return f"run {run_id} is the evaluated one: name another"
    if not specs.same_data(source.spec.dataset, dataset):
        return f"run {run_id} was trained on {source.spec.dataset.key} with other images than this run's {dataset.key}"
    if source.checkpoint_step is None:
        return f"run {run_id} has no checkpoint yet: name one that has trained"
    return None
