"""Delivery of task ids to the workers; the only module that uses RQ. The database has the state of the tasks."""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue as RqQueue
from rq.command import send_command
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from densitylab.backend.shared.contracts import ENTRIES_FIELD, LOAD_FIELD, WORKER_SECONDS, QueueName, queue_of
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import instance
from densitylab.backend.shared.store.outbox import Undelivered

_RESULT_SECONDS = 60
_FAILURE_SECONDS = 24 * 3600
_WORKER_KEY = "rq:worker:"
_JOB_ID = re.compile(rb"[0-9a-f]+-([0-9]+)-([0-9]+)")
_WITHDRAWN_AT_ONCE = 500  # a queue is read to the job: the broker must not be busy for long


class BrokerUnavailable(ConnectionError):
    """The broker does not answer; undelivered tasks stay in the database and are delivered later."""


@dataclass(frozen=True)
class LiveWorker:
    """A worker process as it registered with the broker."""

    name: str
    host: str
    queues: list[QueueName]
    since: str  # ISO, UTC
    # (kind, key) of the optional entries that it has, each with the reason why it cannot be used; None: it can
    entries: dict[tuple[str, str], str | None] = field(default_factory=dict)
    load: tuple[float, int] | None = None  # load average of a minute, and processor cores, of its machine


class Queue:
    """The queues of one system, with the broker at a redis:// or unix:// URL; it connects at the first use.

    Args:
        database: has the system's name, which is read at the first use. While it does not answer, the methods other
            than `ping` and `info` raise SQLAlchemyError.
    """

    def __init__(self, url: str, database: Database) -> None:
        # One retry without a pause: it replaces a connection that a restarted broker has dropped, and still reports a
        # broker that is down at once (the client's default retries for seconds)
        self._redis = Redis.from_url(url, socket_connect_timeout=1.0, socket_timeout=3.0, retry=Retry(NoBackoff(), 1))
        self._database = database

    @cached_property
    def _instance(self) -> str:
        return instance.name(self._database)

    @cached_property
    def _queues(self) -> dict[QueueName, RqQueue]:
        return {
            name: RqQueue(instance.queue_name(self._instance, name), connection=self._redis, serializer=JSONSerializer)
            for name in QueueName
        }

    def deliver(self, deliveries: Sequence[Undelivered]) -> None:
        """Put the deliveries on their queues, in one round trip. Raises BrokerUnavailable."""
        by_queue: dict[QueueName, list[Undelivered]] = {}
        for item in deliveries:
            by_queue.setdefault(queue_of(item.kind, item.priority), []).append(item)
        with _reported():
            pipeline = self._redis.pipeline()
            for name, items in by_queue.items():
                jobs = [
                    RqQueue.prepare_data(
                        f"densitylab.worker.jobs.{item.kind}.run",
                        args=(item.task_id,),
                        timeout=-1,
                        result_ttl=_RESULT_SECONDS,
                        failure_ttl=_FAILURE_SECONDS,
                        job_id=instance.job_id(self._instance, item.task_id, item.delivery),
                        description=f"{name.value} job {item.task_id}-{item.delivery}",
                    )
                    for item in items
                ]
                self._queues[name].enqueue_many(jobs, pipeline=pipeline)
            pipeline.execute()

    def waiting(self) -> set[tuple[int, int]]:
        """Return (task, delivery) of every job that waits on a queue. Raises BrokerUnavailable."""
        with _reported():
            pipeline = self._redis.pipeline()
            for queue in self._queues.values():
                pipeline.lrange(queue.key, 0, -1)
            ids = [_JOB_ID.fullmatch(found) for waiting in pipeline.execute() for found in waiting]
        return {(int(found[1]), int(found[2])) for found in ids if found is not None}

    def withdraw(self, deliveries: Collection[tuple[int, int]]) -> None:
        """Remove those of these (task, delivery) that wait on a queue. Raises BrokerUnavailable."""
        ids = [instance.job_id(self._instance, *item) for item in sorted(deliveries)]
        with _reported():
            for start in range(0, len(ids), _WITHDRAWN_AT_ONCE):
                some = ids[start : start + _WITHDRAWN_AT_ONCE]
                pipeline = self._redis.pipeline(transaction=False)
                for withdrawn in some:
                    for queue in self._queues.values():
                        pipeline.lrem(queue.key, 0, withdrawn)
                removed = pipeline.execute()
                # A job that a worker has taken meanwhile keeps its record
                width = len(self._queues)
                gone = [Job.key_for(some[i]) for i in range(len(some)) if any(removed[i * width : (i + 1) * width])]
                if gone:
                    self._redis.delete(*gone)

    def stop(self, worker: str, task_id: int, delivery: int) -> None:
        """Tell a worker to kill the process that executes this task, if it does. Raises BrokerUnavailable."""
        with _reported():
            # The job may be an earlier delivery of the same task
            for number in range(1, delivery + 1):
                send_command(self._redis, worker, "stop-job", job_id=instance.job_id(self._instance, task_id, number))

    def workers(self) -> dict[QueueName, int]:
        """Return the number of live workers that serve each queue. Raises BrokerUnavailable."""
        live = self.live_workers()
        return {name: sum(name in worker.queues for worker in live) for name in QueueName}

    def live_workers(self) -> list[LiveWorker]:
        """Return the workers whose registration has not expired, by name. Raises BrokerUnavailable."""
        with _reported():
            pipeline = self._redis.pipeline()
            for queue in self._queues.values():
                pipeline.smembers(WORKERS_BY_QUEUE_KEY % queue.name)
            members: dict[QueueName, set[bytes]] = dict(zip(QueueName, pipeline.execute(), strict=True))
            keys = sorted(set().union(*members.values()))
            # A worker that was killed stays in the set, but its own key expires
            for key in keys:
                pipeline.hmget(key, "hostname", "birth", ENTRIES_FIELD, LOAD_FIELD)
                pipeline.ttl(key)
            replies = pipeline.execute()
            entries = zip(keys, replies[::2], replies[1::2], strict=True)
        return [
            LiveWorker(
                name=key.decode().removeprefix(_WORKER_KEY),
                host=(host or b"").decode(),
                queues=[name for name in QueueName if key in members[name]],
                since=birth.decode(),
                entries={_entry(name): reason for name, reason in json.loads(report or b"{}").items()},
                load=tuple(json.loads(load)) if load else None,
            )
            for key, (host, birth, report, load), seconds in entries
            # One with more seconds left dates from before the broker's clock was set back
            if birth is not None and seconds <= WORKER_SECONDS
        ]

    def lengths(self) -> dict[QueueName, int]:
        """Return the number of jobs that wait on each queue. Raises BrokerUnavailable."""
        with _reported():
            pipeline = self._redis.pipeline()
            for queue in self._queues.values():
                pipeline.llen(queue.key)
            return dict(zip(QueueName, pipeline.execute(), strict=True))

    def info(self) -> tuple[str, int]:
        """Return the broker's version and the bytes of memory that it uses. Raises BrokerUnavailable."""
        with _reported():
            info = self._redis.info()
        return str(info.get("valkey_version") or info["redis_version"]), int(info["used_memory"])

    def ping(self) -> None:
        """Raise BrokerUnavailable if the broker does not answer."""
        with _reported():
            self._redis.ping()

    def close(self) -> None:
        self._redis.close()


def _entry(name: str) -> tuple[str, str]:
    kind, _, key = name.partition(" ")
    return kind, key


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise BrokerUnavailable(f"the broker does not answer: {error}") from error
