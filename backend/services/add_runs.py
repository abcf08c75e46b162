"""Add runs to an experiment, and their price; a run that it has already is never added again."""

import copy
import json
from typing import Any

from sqlalchemy.orm import Session

from densitylab.backend.broker.queue import Queue
from densitylab.backend.services.availability import require_available
from densitylab.backend.services.estimates import preflight
from densitylab.backend.services.estimates.capacity import Capacity
from densitylab.backend.services.estimates.expected_times import with_expected_times
from densitylab.backend.services.experiments import ensure_prepared, optional_entries
from densitylab.backend.services.idempotency import once
from densitylab.backend.services.initial_weights import inherit, with_sources
from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import (
    MAX_RUNS_PER_EXPERIMENT,
    AddedGroup,
    FieldError,
    Origin,
    Run,
    RunsPreflight,
    RunsRequest,
    Status,
)
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.errors import Conflict, InvalidField, InvalidRequest, NotFound
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import experiments, runs
from densitylab.backend.shared.store.idempotency import Key


def add_runs(
    database: Database,
    catalog: Catalog,
    queue: Queue,
    settings: Settings,
    experiment_id: int,
    request: RunsRequest,
    provenance: dict[str, str],
    key: Key,
) -> tuple[list[int], list[int]]:
    """Insert the runs; return the ids of the new ones, and of the requested ones that the experiment has already. The
    caller delivers the tasks.

    Raises:
        NotFound: there is no such experiment.
        Conflict: it has some of these runs already.
        InvalidRequest: fields are wrong, or no worker can run them.
        NotPrepared: a data set that is not embedded is not ready.
    """
    _require_one_kind(request)

    def make(session: Session) -> list[list[int]]:
        if not experiments.lock(session, experiment_id):
            raise _missing(experiment_id)
        new, skipped = _plan(session, catalog, queue, experiment_id, request)
        try:
            new = with_sources(session, catalog, new, lock=True)
        except InvalidRequest as invalid:
            raise invalid if request.sweep is not None else _in_the_request(invalid) from None
        ensure_prepared(session, catalog, new)
        new = with_expected_times(session, catalog, capacity, new)
        added = experiments.add_runs(
            session, experiment_id, posted, new, dict(provenance), request.priority, key.caller
        )
        return [added, skipped]

    capacity = Capacity.find(queue, settings)
    posted = request.model_dump(mode="json", exclude_defaults=True)
    added, skipped = once(database, key, {"experiment": experiment_id, "runs": posted}, make).made
    return added, skipped


def price_of_runs(
    session: Session, catalog: Catalog, queue: Queue, settings: Settings, experiment_id: int, request: RunsRequest
) -> RunsPreflight:
    """Return which runs `add_runs` would insert, and their estimated cost. Raises as `add_runs` does, except for data
    that is not prepared, which the cost names."""
    _require_one_kind(request)
    if experiments.get(session, experiment_id) is None:
        raise _missing(experiment_id)
    new, skipped = _plan(session, catalog, queue, experiment_id, request)
    try:
        cost = preflight.price(session, catalog, queue, settings, new)
    except InvalidRequest as invalid:
        raise invalid if request.sweep is not None else _in_the_request(invalid) from None
    groups: dict[tuple[str, float], list[int]] = {}
    for item in new:
        groups.setdefault((item.spec.regularizer.key, item.spec.lambda_), []).append(item.spec.seed)
    added = [
        AddedGroup(regularizer=key, lambda_=lambda_, seeds=sorted(set(seeds)), runs=len(seeds))
        for (key, lambda_), seeds in groups.items()
    ]
    return RunsPreflight(cost=cost, added=added, skipped=skipped)


def _require_one_kind(request: RunsRequest) -> None:
    varied = request.seeds is not None or request.lambdas is not None
    if varied == (request.sweep is not None):
        raise InvalidField(
            "expected either a sweep, or seeds and lambdas; got " + ("both" if varied else "neither"),
            "/sweep" if varied else "",
        )
    if request.sweep is not None and request.runs is not None:
        raise InvalidField("expected runs beside seeds or lambdas only: a sweep goes over the launched spec", "/runs")


def _missing(experiment_id: int) -> NotFound:
    return NotFound("experiment", experiment_id, "/path/experiment_id")


def _plan(
    session: Session, catalog: Catalog, queue: Queue, experiment_id: int, request: RunsRequest
) -> tuple[list[specs.Planned], list[int]]:
    """Return the new runs, and the ids of the requested ones that the experiment has already."""
    members = list(runs.many(session, experiments.run_ids(session, experiment_id)).values())
    known = {specs.spec_hash(run.spec): run.id for run in members}
    requested = {
        specs.spec_hash(item.spec): item for item in _requested(session, catalog, experiment_id, request, members)
    }
    new = [item for digest, item in requested.items() if digest not in known]
    skipped = [known[digest] for digest in requested if digest in known]
    if skipped and request.duplicates == "refuse":
        raise _duplicates(skipped)
    if len(members) + len(new) > MAX_RUNS_PER_EXPERIMENT:
        raise InvalidField(
            f"expected at most {MAX_RUNS_PER_EXPERIMENT} runs in an experiment; it has {len(members)}, and these are "
            f"{len(new)} more",
            "",
        )
    require_available(queue, catalog, optional_entries(new))
    return new, skipped


def _in_the_request(invalid: InvalidRequest) -> InvalidRequest:
    """Return the errors of specs that were made of seeds and lambdas, with the fields of that request."""
    fields = {"/spec/seed": "/seeds", "/spec/lambda_": "/lambdas"}
    return InvalidRequest(
        [FieldError(pointer=fields.get(error.pointer, ""), detail=error.detail) for error in invalid.errors]
    )


def _duplicates(run_ids: list[int]) -> Conflict:
    named = ", ".join(map(str, run_ids[:5])) + (", ..." if len(run_ids) > 5 else "")
    return Conflict(
        f"{len(run_ids)} of these runs are in the experiment already (runs {named}); ask for others, or send "
        '"duplicates": "skip" to add the rest'
    )


def _requested(
    session: Session, catalog: Catalog, experiment_id: int, request: RunsRequest, members: list[Run]
) -> list[specs.Planned]:
    trained = [run for run in members if run.origin is Origin.TRAINED]
    if members and not trained:
        raise Conflict("no run of this experiment was trained here: launch an experiment of its own")
    if request.sweep is not None:
        launched = experiments.get(session, experiment_id)
        spec = launched.request.get("spec", {}) if launched else {}
        return specs.plan(catalog, spec, request.sweep, inherit(session, catalog))
    kinds: dict[str, list[dict[str, Any]]] = {}  # the configurations, by all but seed and λ
    for run in _not_cancelled(trained) if request.runs is None else _chosen(trained, request.runs):
        stored = run.spec.model_dump()
        kinds.setdefault(_without(stored, "seed", "lambda_"), []).append(stored)
    swept = [group for group in kinds.values() if len({spec["lambda_"] for spec in group}) > 1]
    every = request.lambdas is None or request.runs is not None or not swept
    chosen = list(kinds.values()) if every else swept
    # Validated once for each configuration, not once for each seed
    return [
        item
        for group in chosen
        for lambda_ in dict.fromkeys(request.lambdas or [spec["lambda_"] for spec in group])
        for item in specs.with_seeds(
            catalog,
            {**copy.deepcopy(group[0]), "lambda_": lambda_},
            request.seeds or sorted({spec["seed"] for spec in group}),
        )
    ]


def _chosen(trained: list[Run], run_ids: list[int]) -> list[Run]:
    """Return the runs with these ids."""
    by_id = {run.id: run for run in trained}
    if wrong := [
        FieldError(pointer=f"/runs/{index}", detail=f"the experiment has trained no run {run_id} here")
        for index, run_id in enumerate(run_ids)
        if run_id not in by_id
    ]:
        raise InvalidRequest(wrong)
    return [by_id[run_id] for run_id in dict.fromkeys(run_ids)]


def _not_cancelled(trained: list[Run]) -> list[Run]:
    """Return the runs of the configurations that have a run that is not cancelled."""
    by_configuration: dict[str, list[Run]] = {}
    for run in trained:
        by_configuration.setdefault(_without(run.spec.model_dump(), "seed"), []).append(run)
    kept = [group for group in by_configuration.values() if any(run.status is not Status.CANCELLED for run in group)]
    if trained and not kept:
        raise InvalidField("all runs of this experiment are cancelled; name those to go by", "/runs")
    return [run for group in kept for run in group]


def _without(spec: dict[str, Any], *names: str) -> str:
    return json.dumps({name: value for name, value in spec.items() if name not in names}, sort_keys=True)
