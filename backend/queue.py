"""The only module that knows RQ: carries task ids to the workers. The database stays the truth about them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue as RqQueue
from rq.command import send_command
from rq.serializers import JSONSerializer
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from backend.shared.contracts import QueueName, queue_of
from backend.shared.store.outbox import Undelivered

_RESULT_SECONDS = 60
_FAILURE_SECONDS = 24 * 3600
_WORKER_KEY = "rq:worker:"


class BrokerDown(ConnectionError):
    """The broker does not answer; what had to go out stays in the database and goes out later."""


@dataclass(frozen=True)
class LiveWorker:
    """A worker process as it entered itself with the broker."""

    name: str
    host: str
    queues: list[QueueName]
    since: str  # ISO, UTC


class Queue:
    """Deliveries to the broker at a redis:// or unix:// URL; nothing is connected until it is used."""

    def __init__(self, url: str) -> None:
        # One retry without a pause: a connection that a restarted broker has dropped is replaced, and a broker that
        # is down is said to be so at once (the client's default retries for seconds)
        self._redis = Redis.from_url(
            url, socket_connect_timeout=1.0, socket_timeout=3.0, retry=Retry(NoBackoff(), 1)
        )
        self._queues = {
            name: RqQueue(name.value, connection=self._redis, serializer=JSONSerializer) for name in QueueName
        }

    def deliver(self, deliveries: Sequence[Undelivered]) -> None:
        """Puts the jobs `{task}-{delivery}` on their queues, in one round trip. Raises BrokerDown."""
        by_queue: dict[QueueName, list[Undelivered]] = {}
        for item in deliveries:
            by_queue.setdefault(queue_of(item.kind, item.priority), []).append(item)
        with _reported():
            pipeline = self._redis.pipeline()
            for name, items in by_queue.items():
                jobs = [
                    RqQueue.prepare_data(
                        f"worker.jobs.{item.kind}.run", args=(item.task_id,), timeout=-1,
                        result_ttl=_RESULT_SECONDS, failure_ttl=_FAILURE_SECONDS,
                        job_id=_job_id(item.task_id, item.delivery),
                    )
                    for item in items
                ]
                self._queues[name].enqueue_many(jobs, pipeline=pipeline)
            pipeline.execute()

    def waiting(self) -> set[tuple[int, int]]:
        """(task, delivery) of every job that waits on a queue. Raises BrokerDown."""
        with _reported():
            pipeline = self._redis.pipeline()
            for queue in self._queues.values():
                pipeline.lrange(queue.key, 0, -1)
            ids = [job_id.decode() for found in pipeline.execute() for job_id in found]
        pairs = (job_id.split("-") for job_id in ids)
        return {(int(task), int(delivery)) for task, delivery in pairs}

    def stop(self, worker: str, task_id: int, delivery: int) -> None:
        """Tells a worker to kill its work-horse, if it is at this task. Raises BrokerDown."""
        with _reported():
            # The job may be an earlier delivery of the same task
            for number in range(1, delivery + 1):
                send_command(self._redis, worker, "stop-job", job_id=_job_id(task_id, number))

    def workers(self) -> dict[QueueName, int]:
        """Number of live workers that serve each queue. Raises BrokerDown."""
        live = self.live_workers()
        return {name: sum(name in worker.queues for worker in live) for name in QueueName}

    def live_workers(self) -> list[LiveWorker]:
        """Those whose entry has not expired, by name. Raises BrokerDown."""
        with _reported():
            pipeline = self._redis.pipeline()
            for name in QueueName:
                pipeline.smembers(WORKERS_BY_QUEUE_KEY % name.value)
            members: dict[QueueName, set[bytes]] = dict(zip(QueueName, pipeline.execute(), strict=True))
            keys = sorted(set().union(*members.values()))
            # A worker that died without a goodbye stays in the set, but its own key expires
            for key in keys:
                pipeline.hmget(key, "hostname", "birth")
            entries = dict(zip(keys, pipeline.execute(), strict=True))
        return [
            LiveWorker(
                name=key.decode().removeprefix(_WORKER_KEY), host=(host or b"").decode(),
                queues=[name for name in QueueName if key in members[name]], since=birth.decode(),
            )
            for key, (host, birth) in entries.items() if birth is not None
        ]

    def lengths(self) -> dict[QueueName, int]:
        """Number of jobs that wait on each queue. Raises BrokerDown."""
        with _reported():
            pipeline = self._redis.pipeline()
            for queue in self._queues.values():
                pipeline.llen(queue.key)
            return dict(zip(QueueName, pipeline.execute(), strict=True))

    def facts(self) -> tuple[str, int]:
        """The broker's version and the bytes of memory that it uses. Raises BrokerDown."""
        with _reported():
            told = self._redis.info()
        return str(told.get("valkey_version") or told["redis_version"]), int(told["used_memory"])

    def ping(self) -> None:
        """Raises BrokerDown where the broker does not answer."""
        with _reported():
            self._redis.ping()

    def close(self) -> None:
        self._redis.close()


def _job_id(task_id: int, delivery: int) -> str:
    return f"{task_id}-{delivery}"


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise BrokerDown(f"the broker does not answer: {error}") from error
