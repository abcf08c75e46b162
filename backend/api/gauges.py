"""What Prometheus is told of the system, looked up when it asks."""

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from backend.queue import BrokerDown, Queue
from backend.shared.database import Database
from backend.shared.store import task_gauges


class SystemGauges(Collector):
    """Queues and workers by the broker, tasks by the database; what does not answer is said to be down."""

    def __init__(self, database: Database, queue: Queue) -> None:
        self._database, self._queue = database, queue

    def collect(self) -> Iterator[Metric]:
        yield from self._of_the_database()
        yield from self._of_the_broker()

    def _of_the_database(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("densitylab_database_up", "1 where the database answers.")
        try:
            with self._database.read() as session:
                counts = task_gauges.counts(session)
                ages = task_gauges.oldest_waiting(session)
                busy = task_gauges.busy_workers(session)
        except SQLAlchemyError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        tasks = GaugeMetricFamily("densitylab_tasks", "Tasks by kind and status.", labels=["kind", "status"])
        for (kind, status), number in counts.items():
            tasks.add_metric([kind, status], number)
        yield tasks
        age = GaugeMetricFamily(
            "densitylab_oldest_task_seconds", "Age of the oldest task in this state.", labels=["kind", "status"]
        )
        for (kind, status), seconds in ages.items():
            age.add_metric([kind, status], seconds)
        yield age
        working = GaugeMetricFamily(
            "densitylab_worker_busy", "1 for a worker that holds a task, with the device it computes on.",
            labels=["worker", "kind", "device"],
        )
        memory = GaugeMetricFamily(
            "densitylab_task_memory_bytes", "Memory of a worker's task, at its highest.", labels=["worker", "of"]
        )
        for item in busy:
            working.add_metric([item.worker, item.kind, item.device], 1)
            for of, used in (("process", item.memory_bytes), ("gpu", item.device_memory_bytes)):
                if used is not None:
                    memory.add_metric([item.worker, of], used)
        yield working
        yield memory

    def _of_the_broker(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("densitylab_broker_up", "1 where the broker answers.")
        try:
            lengths, workers = self._queue.lengths(), self._queue.workers()
        except BrokerDown:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        depth = GaugeMetricFamily("densitylab_queue_jobs", "Jobs that wait on each queue.", labels=["queue"])
        live = GaugeMetricFamily("densitylab_workers", "Live workers that serve each queue.", labels=["queue"])
        for name, length in lengths.items():
            depth.add_metric([name], length)
            live.add_metric([name], workers[name])
        yield depth
        yield live
