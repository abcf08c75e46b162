"""Takes queued tasks to the broker, after the commit that made them."""

import logging

from backend.queue import BrokerDown, Queue
from backend.shared.database import Database
from backend.shared.store import outbox

logger = logging.getLogger(__name__)
_BATCH = 500


def deliver(database: Database, queue: Queue, *, followers: bool = True) -> int:
    """Delivers what waits for delivery and notes it; returns how many tasks. Raises BrokerDown.

    Without `followers` only what has not had to wait for another task.

    A task may be delivered twice where two processes do this at once: its second job fails to claim it.
    """
    with database.read() as session:
        waiting = outbox.undelivered(session, limit=_BATCH, followers=followers)
    if waiting:
        queue.deliver(waiting)
        with database.write() as session:
            outbox.mark_delivered(session, waiting)
    return len(waiting)


def deliver_or_leave(database: Database, queue: Queue) -> None:
    """Delivers at once what somebody has just asked for, if the broker answers. The rest is the reconciler's: what
    follows a training, and all of it when the broker is back."""
    try:
        deliver(database, queue, followers=False)
    except BrokerDown as down:
        logger.warning("queued work waits for the broker: %s", down)
