"""Workers that trainings share, as far as they decide the time of a launch."""

from dataclasses import dataclass
from typing import Self

from densitylab.backend.broker.queue import BrokerUnavailable, Queue
from densitylab.backend.ops import devices
from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import QueueName, RunSpec
from densitylab.backend.shared.settings import Settings


@dataclass(frozen=True)
class Capacity:
    """Live workers that train, and the CPU of all their hosts, which are taken to be like this one."""

    workers: int
    cores: int
    threads: int  # of a worker, where a spec does not say
    broker: str  # "ok", or why the workers are not known

    @classmethod
    def find(cls, queue: Queue, settings: Settings) -> Self:
        """Return the capacity of the live workers; without a broker, of none."""
        try:
            hosts, broker = [worker.host for worker in queue.live_workers() if QueueName.TRAIN in worker.queues], "ok"
        except BrokerUnavailable as down:
            hosts, broker = [], str(down)
        return cls(len(hosts), devices.cores() * max(1, len(set(hosts))), settings.threads, broker)

    def at_once(self, runs: int) -> int:
        """Return the tasks that are worked on at the same time, of so many runs; one without a worker."""
        return max(1, min(self.workers, runs))

    def threads_of(self, catalog: Catalog, spec: RunSpec) -> int:
        """Return the CPU threads of a run."""
        return specs.cpu_threads(catalog, spec, self.threads)
