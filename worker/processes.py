"""RQ's workers as DensityLab runs them. RQ only carries task ids; what has become of a task is in the database."""

import ctypes
import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError, TimeoutError
from rq import Queue, SimpleWorker, Worker, worker_registration
from rq.exceptions import StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker

from worker import shutdown

GRACE_SECONDS = 8.0  # from the wish to shut down to the hard end
BROKER_WAIT_SECONDS = 0.5
_WORKER_TTL = 30  # seconds; RQ looks for work for 15 s at a time and its entry lives for 60 s more
_MONITOR_SECONDS = 10  # between RQ's heartbeats during a job
_PR_SET_PDEATHSIG = 1

_log = logging.getLogger(__name__)
_libc = ctypes.CDLL(None, use_errno=True)


class _Patient(BaseWorker):
    """Outlives a broker that restarts, and logs one line where a job starts and one where it ends."""

    exponential_backoff_factor = 1.0  # an idle worker asks for the broker every second

    def execute_job(self, job: Job, queue: Queue) -> None:
        began = time.monotonic()
        _log.info("%s job %s starts", queue.name, job.id)
        try:
            super().execute_job(job, queue)
        except (ConnectionError, TimeoutError) as error:
            _log.warning("the broker does not answer: %s", error)
            self.wait_for_horse()  # the job needs no broker, and has given its task a state
            self._horse_pid = 0
        _log.info("%s job %s ended after %.1f s", queue.name, job.id, time.monotonic() - began)
        while not answers(self.connection):
            if self._stop_requested:
                raise StopRequested
            time.sleep(BROKER_WAIT_SECONDS)

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Says again who this is: the broker may have lost its data, or have taken a worker cut off for dead."""
        sent = self.connection.pipeline(transaction=False) if pipeline is None else pipeline
        sent.hset(self.key, mapping=self.serialize())
        worker_registration.register(self, sent)
        super().heartbeat(timeout, sent)
        if pipeline is None:
            sent.execute()  # in one round trip: RQ says it three times a job

    def teardown(self) -> None:
        try:
            super().teardown()
        except (ConnectionError, TimeoutError) as error:
            _log.warning("stopped without a goodbye to the broker, which does not answer: %s", error)

    def set_shutdown_requested_date(self) -> None:
        """Nobody reads it, and the broker must not be called from a signal handler."""


class ForkingWorker(_Patient, Worker):
    """Forks for each job; a job hears of a shutdown by SIGUSR1 and never outlives its worker."""

    def handle_warm_shutdown_request(self) -> None:
        self._tell_horse()
        _end_hard_later(self._end_hard)

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        super().fork_work_horse(job, queue)
        if self._stop_requested:  # said between the decision to fork and the fork
            self._tell_horse()

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        _die_with(self.pid)
        super().main_work_horse(job, queue)

    def maintain_heartbeats(self, job: Job, execution: object) -> None:
        try:
            super().maintain_heartbeats(job, execution)
        except (ConnectionError, TimeoutError) as error:
            _log.warning("the broker does not answer; job %s goes on: %s", job.id, error)

    def _tell_horse(self) -> None:
        if self.horse_pid:
            try:
                os.kill(self.horse_pid, shutdown.TOLD_BY)
            except ProcessLookupError:
                _log.debug("job process %d has ended already", self.horse_pid)

    def _end_hard(self) -> None:
        _log.warning("the job did not stop within %.0f s and is killed; it goes on from its checkpoint", GRACE_SECONDS)
        self.kill_horse()
        os._exit(1)


class InProcessWorker(_Patient, SimpleWorker):
    """Does its jobs in its own process, where models stay warm."""

    def handle_warm_shutdown_request(self) -> None:
        shutdown.tell(True)
        _end_hard_later(lambda: os._exit(1))


def make_worker(kind: type[BaseWorker], role: str, queues: list[str], url: str) -> BaseWorker:
    """A worker of `kind` on `queues`, the first of which goes first, once the broker answers at `url`."""
    # Without the client's name and version, which it would look up and send again in each job
    connection = Redis.from_url(url, driver_info=None)
    _wait_for(connection)
    # RQ refuses a name in use, also by one that was killed, so each process has a new one
    name = f"{role}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    return kind(
        queues, name=name, connection=connection, serializer=JSONSerializer, worker_ttl=_WORKER_TTL,
        job_monitoring_interval=_MONITOR_SECONDS, log_job_description=False,
    )


def _wait_for(connection: Redis) -> None:
    said = False
    while True:
        try:
            connection.ping()
            return
        except (ConnectionError, TimeoutError) as error:
            if not said:
                _log.warning("waits for the broker, which does not answer: %s", error)
            said = True
        time.sleep(BROKER_WAIT_SECONDS)


def answers(connection: Redis) -> bool:
    """Whether the broker does."""
    try:
        return bool(connection.ping())
    except (ConnectionError, TimeoutError):
        return False


def _die_with(parent: int) -> None:
    """The kernel kills this process when its parent ends, so that no job runs on beside its successor."""
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)


def _end_hard_later(end: Callable[[], None]) -> None:
    timer = threading.Timer(GRACE_SECONDS, end)
    timer.daemon = True
    timer.start()
