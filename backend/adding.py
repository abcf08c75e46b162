"""More runs for an experiment that exists; never the same twice."""

import copy
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from backend import launching
from backend.shared import specs
from backend.shared.contracts import MAX_RUNS_PER_EXPERIMENT, FieldError, Run, RunSpec, RunsRequest
from backend.shared.database import Database
from backend.shared.specs import InvalidRequest
from backend.shared.store import experiments, runs


class Gone(LookupError):
    """There is no such experiment (any more)."""


class Duplicates(RuntimeError):
    """The experiment has some of these runs already."""

    def __init__(self, run_ids: list[int]) -> None:
        named = ", ".join(map(str, run_ids[:5])) + (", ..." if len(run_ids) > 5 else "")
        super().__init__(
            f"{len(run_ids)} of these runs are in the experiment already (runs {named}); ask for others, or send "
            '"duplicates": "skip" to add the rest'
        )


@dataclass(frozen=True)
class Added:
    """Ids of the new runs, and of those that were asked for and there already."""

    added: list[int]
    skipped: list[int]


def add(database: Database, experiment_id: int, request: RunsRequest, provenance: dict[str, str]) -> Added:
    """Inserts the runs, to be delivered after.

    Raises:
        Gone, Duplicates, InvalidRequest.
        launching.NotPrepared: a data set that is not embedded is not ready.
    """
    varied = request.seeds is not None or request.lambdas is not None
    if varied == (request.sweep is not None):
        raise InvalidRequest([FieldError(
            pointer="/sweep" if varied else "",
            detail="expected either a sweep, or seeds and lambdas; got " + ("both" if varied else "neither"),
        )])
    with database.write() as session:
        if not experiments.lock(session, experiment_id):
            raise Gone
        members = list(runs.many(session, experiments.run_ids(session, experiment_id)).values())
        known = {specs.spec_hash(run.spec): run.id for run in members}
        wanted = {specs.spec_hash(spec): spec for spec in _wanted(session, experiment_id, request, members)}
        new = [spec for digest, spec in wanted.items() if digest not in known]
        skipped = [known[digest] for digest in wanted if digest in known]
        if skipped and request.duplicates == "refuse":
            raise Duplicates(skipped)
        if len(members) + len(new) > MAX_RUNS_PER_EXPERIMENT:
            raise InvalidRequest([FieldError(
                pointer="", detail=f"expected at most {MAX_RUNS_PER_EXPERIMENT} runs in an experiment; it has "
                                   f"{len(members)}, and these are {len(new)} more"
            )])
        launching.make_ready(session, new)
        posted = request.model_dump(mode="json", exclude_defaults=True)
        added = experiments.add_runs(session, experiment_id, posted, new, dict(provenance), request.priority)
        return Added(added, skipped)


def _wanted(session: Session, experiment_id: int, request: RunsRequest, members: list[Run]) -> list[RunSpec]:
    if request.sweep is not None:
        launched = experiments.get(session, experiment_id)
        spec = launched.request.get("spec", {}) if launched else {}
        return [item.spec for item in specs.plan(spec, request.sweep)]
    kinds: dict[str, list[dict[str, Any]]] = {}  # the configurations, by all but seed and λ
    for run in members:
        stored = run.spec.model_dump()
        kinds.setdefault(_without(stored, "seed", "lambda_"), []).append(stored)
    swept = [group for group in kinds.values() if len({spec["lambda_"] for spec in group}) > 1]
    chosen = list(kinds.values()) if request.lambdas is None or not swept else swept
    # Once for each configuration, so that what no longer is valid is found before it is multiplied
    return [
        spec
        for group in chosen for lambda_ in dict.fromkeys(request.lambdas or [spec["lambda_"] for spec in group])
        for spec in _with_seeds(group[0], lambda_, request.seeds or sorted({spec["seed"] for spec in group}))
    ]


def _with_seeds(stored: dict[str, Any], lambda_: float, seeds: list[int]) -> list[RunSpec]:
    spec = specs.complete({**copy.deepcopy(stored), "lambda_": lambda_})
    return [spec.model_copy(update={"seed": seed}) for seed in seeds]


def _without(spec: dict[str, Any], *names: str) -> str:
    return json.dumps({name: value for name, value in spec.items() if name not in names}, sort_keys=True)
