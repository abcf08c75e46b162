"""Deliver queued tasks to the broker, after the commit that created them, and keep its queues as the database says."""

import logging
import time

from sqlalchemy.exc import SQLAlchemyError

from densitylab.backend.broker.queue import BrokerUnavailable, Queue
from densitylab.backend.shared.database import Database, explain
from densitylab.backend.shared.store import outbox

logger = logging.getLogger(__name__)
LOST_SECONDS = 5.0  # on no queue: by then a worker has claimed what it took
_BATCH = 500  # tasks in one transaction: a longer one would delay requests that write


def deliver(database: Database, queue: Queue, *, followers: bool = True) -> int:
    """Deliver queued tasks, the first 500, and return their number. Raises BrokerUnavailable.

    Without `followers`, tasks that came after another one are left out. A task is marked before it is delivered, so
    that two processes never deliver it at once; what is marked and never arrives counts as lost.
    """
    with database.read() as session:
        if not outbox.undelivered(session, 1, followers=followers):
            return 0
    queue.ping()
    with database.write(before_commit=False) as session:
        taken = outbox.take(session, _BATCH, followers=followers)
    try:
        queue.deliver(taken)
    except BrokerUnavailable:
        with database.write(before_commit=False) as session:
            outbox.mark_lost(session, [(item.task_id, item.delivery) for item in taken])
        raise
    return len(taken)


def try_deliver(database: Database, queue: Queue) -> None:
    """Deliver new tasks if broker and database answer. The reconciler delivers the rest: followers of a training, and
    all tasks once both are back."""
    try:
        deliver(database, queue, followers=False)
    except BrokerUnavailable as down:
        logger.warning("queued work waits for the broker: %s", down)
    except SQLAlchemyError as down:
        logger.warning("queued work waits for its delivery: %s", explain(down))


class Comparison:
    """Compares the broker's queues with the database, again and again."""

    def __init__(self) -> None:
        self._missing: dict[tuple[int, int], float] = {}  # (task, delivery) on no queue -> first seen so

    def repair(self, database: Database, queue: Queue) -> int:
        """Withdraw what is cancelled, claimed or delivered anew; mark what the broker or its worker has lost as
        undelivered, and return the number of these. Raises BrokerUnavailable."""
        waiting = queue.waiting()  # before the rows: a delivery is marked first, so none that is new looks withdrawn
        with database.read() as session:
            outstanding = outbox.outstanding(session)
        queue.withdraw(waiting - outstanding)
        at = time.monotonic()  # the time of day may be set back
        self._missing = {item: self._missing.get(item, at) for item in outstanding - waiting}
        lost = [item for item, since in self._missing.items() if at - since >= LOST_SECONDS]
        for start in range(0, len(lost), _BATCH):
            with database.write() as session:
                outbox.mark_lost(session, lost[start : start + _BATCH])
        return len(lost)
