"""Prometheus metrics of the system, collected at each scrape."""

from collections.abc import Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from densitylab.backend.broker.queue import BrokerUnavailable, Queue
from densitylab.backend.services import disks
from densitylab.backend.shared.contracts import QueueName
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import ended_runs, task_gauges, totals


class SystemCollector(Collector):
    """Queues and workers from the broker, tasks from the database, whether each of the two answers, free disk
    space, and versions."""

    def __init__(self, database: Database, queue: Queue, settings: Settings, versions: Mapping[str, str]) -> None:
        self._database, self._queue, self._settings, self._versions = database, queue, settings, dict(versions)

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("densitylab_build_info", "1, with the versions.", labels=list(self._versions))
        build.add_metric(list(self._versions.values()), 1)
        yield build
        room = GaugeMetricFamily(
            "densitylab_disk_free_bytes",
            "Free bytes of the API machine's disks, by what the folder is for.",
            labels=["of"],
        )
        for name, free in disks.free_bytes(self._settings).items():
            room.add_metric([name], free)
        yield room
        yield from self._database_metrics()
        yield from self._broker_metrics()

    def _database_metrics(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("densitylab_database_up", "1 if the database answers.")
        try:
            with self._database.read() as session:
                counts = totals.tasks(session)
                ages = task_gauges.oldest_waiting(session)
                ended = ended_runs.totals(session)
                queued = task_gauges.oldest_queued(session)
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
        ends = CounterMetricFamily("densitylab_runs_ended", "Trainings that ended, by status.", labels=["status"])
        for ending, number in ended.items():
            ends.add_metric([ending], number)
        yield ends
        age = GaugeMetricFamily(
            "densitylab_oldest_task_seconds", "Age of the oldest task in this state.", labels=["kind", "status"]
        )
        for (kind, status), seconds in ages.items():
            age.add_metric([kind, status], seconds)
        yield age
        wait = GaugeMetricFamily(
            "densitylab_queue_oldest_seconds", "Age of the oldest task that waits on each queue.", labels=["queue"]
        )
        for name in QueueName:
            wait.add_metric([name], queued.get(name, 0.0))
        yield wait
        working = GaugeMetricFamily(
            "densitylab_worker_busy",
            "1 for a worker that executes a task, with its device.",
            labels=["worker", "kind", "device"],
        )
        memory = GaugeMetricFamily(
            "densitylab_task_memory_bytes", "Peak memory of a worker's task.", labels=["worker", "of"]
        )
        for item in busy:
            working.add_metric([item.worker, item.kind, item.device], 1)
            for of, used in (("process", item.memory_bytes), ("gpu", item.device_memory_bytes)):
                if used is not None:
                    memory.add_metric([item.worker, of], used)
        yield working
        yield memory

    def _broker_metrics(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("densitylab_broker_up", "1 if the broker answers.")
        try:
            self._queue.ping()
            lengths, workers = self._queue.lengths(), self._queue.workers()
        except (BrokerUnavailable, SQLAlchemyError) as error:  # the names of its queues are in the database
            up.add_metric([], not isinstance(error, BrokerUnavailable))
            yield up
            return
        up.add_metric([], 1)
        yield up
        depth = GaugeMetricFamily("densitylab_queue_jobs", "Jobs waiting on each queue.", labels=["queue"])
        live = GaugeMetricFamily("densitylab_workers", "Live workers serving each queue.", labels=["queue"])
        for name, length in lengths.items():
            depth.add_metric([name], length)
            live.add_metric([name], workers[name])
        yield depth
        yield live
