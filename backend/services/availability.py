"""Availability of plug-ins and optional packages on the workers."""

import json
from collections.abc import Iterable

from densitylab.backend.broker.queue import BrokerUnavailable, LiveWorker, Queue
from densitylab.backend.shared.catalog import Catalog, Entry
from densitylab.backend.shared.contracts import FieldError, QueueName
from densitylab.backend.shared.errors import InvalidRequest
from densitylab.backend.shared.specs import OptionalEntry


def unavailable_entries(
    queue: Queue, catalog: Catalog, role: QueueName = QueueName.TRAIN
) -> dict[tuple[str, str], str]:
    """Return (kind, key) of the entries that no live worker of a queue can use, each with one worker's reason.

    Nothing is known, and nothing returned, while no such worker is live or the broker does not answer.
    """
    try:
        live = [worker for worker in queue.live_workers() if role in worker.queues]
    except BrokerUnavailable:
        return {}
    unavailable = {}
    for entry in (entry for kind in catalog.by_kind for entry in catalog.all(kind)) if live else ():
        reasons = [_reason(entry, worker) for worker in live]
        if reasons[0] is not None and all(reason is not None for reason in reasons):
            unavailable[entry.kind, entry.key] = reasons[0]
    return unavailable


def _reason(entry: Entry, worker: LiveWorker) -> str | None:
    if (entry.kind, entry.key) in worker.entries:
        return worker.entries[entry.kind, entry.key]
    if entry.plugin is not None:
        return f"the plug-in {entry.plugin.package} is not installed on the worker"
    return None


def require_available(
    queue: Queue, catalog: Catalog, optional: Iterable[OptionalEntry], role: QueueName = QueueName.TRAIN
) -> None:
    """Refuse a request for entries that no live worker can use. The broker is read only if there are such entries.

    Raises:
        InvalidRequest: names each of them, with the reason that the workers gave.
    """
    entries = list(optional)
    unavailable = unavailable_entries(queue, catalog, role) if entries else {}
    errors = [
        FieldError(pointer=entry.pointer, detail=f"no worker can run {entry.kind} {entry.key!r}: {reason}")
        for entry in entries
        if (reason := unavailable.get((entry.kind, entry.key))) is not None
    ]
    if errors:
        raise InvalidRequest(errors)


def missing_entries(catalog: Catalog, provenance: str) -> list[str]:
    """Return, in words, each entry of a plug-in that a run's provenance names and that is not installed here any more.

    Args:
        provenance: JSON.
    """
    if '"plugins"' not in provenance:
        return []
    plugins = json.loads(provenance).get("plugins")
    missing = []
    for package, used in plugins.items() if isinstance(plugins, dict) else ():
        for name in used.get("entries", ()) if isinstance(used, dict) else ():
            kind, _, key = name.partition(" ")
            if key not in catalog.by_kind.get(kind, {}):
                missing.append(
                    f"{kind} {key!r} of the package {package} {used.get('version', '')}, which is not installed here"
                )
    return missing
