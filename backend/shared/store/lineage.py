"""Lineages: the runs that runs start from, and those that start from them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from densitylab.backend.shared.contracts import RUN_TASKS, Ancestor, Lineage, Status
from densitylab.backend.shared.store.id_array import id_array, in_id_array
from densitylab.backend.shared.store.usually import PRESENT
from densitylab.backend.shared.tables import RunRow, TaskRow


class _Start(NamedTuple):
    """Start of a run from another one."""

    run: int
    mode: str
    epochs: float | None  # that the other run had trained


_IDS = in_id_array(RunRow.id, id_array("run_ids"))
_STARTS = select(
    RunRow.id,
    RunRow.init_from_run,
    RunRow.spec["init_from"]["mode"].as_string(),
    RunRow.provenance["init_from"]["epochs"].as_float(),
).where(_IDS, RunRow.init_from_run.is_not(None))
_EXISTING = select(RunRow.id).where(_IDS, PRESENT)
_CHILDREN = (
    select(RunRow.init_from_run, RunRow.id)
    .where(in_id_array(RunRow.init_from_run, id_array("run_ids")), PRESENT)
    .order_by(RunRow.id)
)


def of_runs(session: Session, parents_of: Mapping[int, int | None]) -> dict[int, Lineage]:
    """Return the lineage of each run that has one.

    Args:
        session: that reads.
        parents_of: run -> the run that it starts from, if there is one.
    """
    children: dict[int, list[int]] = {}
    for parent, child in _rows(session, _CHILDREN, list(parents_of)):
        children.setdefault(parent, []).append(child)
    starts: dict[int, _Start] = {}
    wanted = {run_id for run_id, parent in parents_of.items() if parent is not None}
    while wanted:
        found = {run_id: _Start(*start) for run_id, *start in _rows(session, _STARTS, sorted(wanted))}
        starts |= found
        wanted = {start.run for start in found.values()} - starts.keys()
    parents = sorted({start.run for start in starts.values()})
    existing = {run_id for (run_id,) in _rows(session, _EXISTING, parents)} if parents else set()
    return {
        run_id: Lineage(ancestors=_ancestors(run_id, starts, existing), children=children.get(run_id, []))
        for run_id in parents_of
        if run_id in starts or run_id in children
    }


def active_children(session: Session, run_id: int) -> list[int]:
    """Return the runs that start from this one and whose training has not ended."""
    return list(
        session.scalars(
            select(RunRow.id)
            .join(TaskRow, (TaskRow.run_id == RunRow.id) & (TaskRow.kind.in_(RUN_TASKS)))
            .where(
                RunRow.init_from_run == run_id,
                PRESENT,
                TaskRow.status.in_((Status.QUEUED, Status.RUNNING)),
            )
            .order_by(RunRow.id)
        )
    )


def _ancestors(run_id: int, starts: dict[int, _Start], existing: set[int]) -> list[Ancestor]:
    ancestors = []
    start = starts.get(run_id)
    while start is not None:
        ancestors.append(Ancestor(**start._asdict(), deleted=start.run not in existing))
        start = starts.get(start.run)
    return ancestors


def _rows(session: Session, statement: Any, run_ids: Sequence[int]) -> Sequence[Any]:
    return session.connection().execute(statement, {"run_ids": list(run_ids)}).all()
