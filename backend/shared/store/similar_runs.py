"""Started runs like a planned one."""

from sqlalchemy import ColumnElement, Select, select

from densitylab.backend.shared.contracts import RunSpec
from densitylab.backend.shared.store.usually import PRESENT
from densitylab.backend.shared.tables import RunRow


def newest_started(spec: RunSpec, limit: int, *conditions: ColumnElement[bool]) -> Select[int]:
    """Select the ids of at most `limit` newest started runs with the keys of the spec's data set and model, on the
    requested device, that meet the conditions."""
    started = select(RunRow.id).where(
        RunRow.device.is_not(None),
        PRESENT,
        RunRow.dataset == spec.dataset.key,
        RunRow.model == spec.model.key,
        *conditions,
    )
    if spec.device != "auto":
        started = started.where(RunRow.device.startswith(spec.device, autoescape=True))
    return started.order_by(RunRow.id.desc()).limit(limit)
