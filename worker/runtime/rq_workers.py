"""RQ workers. RQ only carries task ids; the state of a task is in the database."""

import json
import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError, TimeoutError
from rq import Queue, SimpleWorker, Worker, worker_registration
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker
from sqlalchemy.exc import SQLAlchemyError

from densitylab.backend.shared import parent_end
from densitylab.backend.shared.contracts import ENTRIES_FIELD, LOAD_FIELD, WORKER_SECONDS
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import instance
from densitylab.worker.runtime import stop_signal
from densitylab.worker.runtime.broker_connection import connect
from densitylab.worker.runtime.ending import Ending

GRACE_SECONDS = 8.0  # from the request to shut down to the kill
BROKER_WAIT_SECONDS = 0.5
DATABASE_WAIT_SECONDS = 1.0
_WORKER_TTL = WORKER_SECONDS - 60  # RQ looks for work for 15 s at a time, and its entry lives for 60 s more
_MONITOR_SECONDS = 10  # between RQ's heartbeats during a job

_log = logging.getLogger(__name__)


class ResilientWorker(BaseWorker):
    """Survives a restart of the broker; logs a line at the start and at the end of each job."""

    exponential_backoff_factor = 1.0  # an idle worker tries the broker every second
    alive: Path | None = None  # a file that is touched with every heartbeat
    entries: Mapping[str, str | None] = MappingProxyType({})  # report of optional entries, see `worker.resolve.report`
    ending: Ending
    run_queues: Sequence[str]
    run_seconds: Callable[[int], float | None]
    _runs = 0  # trainings that were taken
    _no_more_runs = False

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Execute the job, unless it is a training that would not end in time: that one goes back to its queue."""
        is_run = queue.name in self.run_queues
        if is_run and self._runs and not self.ending.fits(self.run_seconds(job.args[0])):
            _log.info("%s would not end in time, so it is left to another worker", job.description)
            self._leave(job, queue)
        else:
            self._runs += is_run
            self._execute(job, queue)
            if is_run and self._runs == self.ending.max_runs:
                self._take_no_more_runs()
        while not answers(self.connection):
            if self._stop_requested:
                raise StopRequested
            time.sleep(BROKER_WAIT_SECONDS)

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Return the next job and its queue; None once the worker has been idle for so long that it ends."""
        ends = self.ending.when_idle or self._no_more_runs
        taken = super().dequeue_job_and_maintain_ttl(timeout, self.ending.idle_seconds if ends else max_idle_time)
        if taken is None:
            _log.info("ends after %d s without work", self.ending.idle_seconds)
        return taken

    def _execute(self, job: Job, queue: Queue) -> None:
        began = time.monotonic()
        _log.info("%s starts", job.description)
        try:
            super().execute_job(job, queue)
        except (ConnectionError, TimeoutError) as error:
            _log.warning("the broker does not answer: %s", error)
            self.wait_for_horse()  # the job needs no broker and has written its task's state
            self._horse_pid = 0
        _log.info("%s ended after %.1f s", job.description, time.monotonic() - began)

    def _leave(self, job: Job, queue: Queue) -> None:
        self._take_no_more_runs()
        try:
            queue.push_job_id(job.id, at_front=True)
        except (ConnectionError, TimeoutError) as error:
            _log.warning("the broker does not answer, and gets %s from the reconciler: %s", job.description, error)

    def _take_no_more_runs(self) -> None:
        """Serve the other queues alone from now on; the next heartbeat registers the worker with these."""
        try:
            worker_registration.unregister(self)
        except (ConnectionError, TimeoutError) as error:
            _log.warning("still registered for the queues of trainings, since the broker does not answer: %s", error)
        self.queues = [queue for queue in self.queues if queue.name not in self.run_queues]
        self._ordered_queues = self.queues[:]
        self._no_more_runs = True

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Register again with each heartbeat, with the load of the machine: the broker may have lost its data, or this
        worker's entry has expired."""
        sent = self.connection.pipeline(transaction=False) if pipeline is None else pipeline
        entries, load = json.dumps(dict(self.entries)), json.dumps([os.getloadavg()[0], os.cpu_count()])
        sent.hset(self.key, mapping={**self.serialize(), ENTRIES_FIELD: entries, LOAD_FIELD: load})
        worker_registration.register(self, sent)
        super().heartbeat(timeout, sent)
        if pipeline is None:
            sent.execute()  # in one round trip: RQ sends three heartbeats a job
        if self.alive is not None:
            self.alive.touch()

    def teardown(self) -> None:
        try:
            super().teardown()
        except (ConnectionError, TimeoutError) as error:
            _log.warning("stopped without unregistering, since the broker does not answer: %s", error)

    def set_shutdown_requested_date(self) -> None:
        """Do nothing: no one reads the date, and a signal handler must not call the broker."""


class ForkingWorker(ResilientWorker, Worker):
    """Forks for each job. SIGUSR1 asks a job to stop, and a job never outlives its worker."""

    def handle_warm_shutdown_request(self) -> None:
        self._signal_job()
        _exit_after_grace(self._kill_and_exit)

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        super().fork_work_horse(job, queue)
        if self._stop_requested:  # requested between the decision to fork and the fork
            self._signal_job()

    def setup_work_horse_signals(self) -> None:
        """Take SIGTERM as a request to stop too: a cluster's scheduler sends it to every process of its job."""
        super().setup_work_horse_signals()
        signal.signal(signal.SIGTERM, lambda _number, _frame: stop_signal.request(True))

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        assert self.pid is not None  # set at its birth
        parent_end.send(signal.SIGKILL, self.pid)  # no job runs beside its retry
        super().main_work_horse(job, queue)

    def maintain_heartbeats(self, job: Job, execution: Execution) -> None:
        try:
            super().maintain_heartbeats(job, execution)
        except (ConnectionError, TimeoutError) as error:
            _log.warning("the broker does not answer; %s continues: %s", job.description, error)

    def _signal_job(self) -> None:
        if self.horse_pid:
            try:
                os.kill(self.horse_pid, stop_signal.SIGNAL)
            except ProcessLookupError:
                _log.debug("job process %d has ended already", self.horse_pid)

    def _kill_and_exit(self) -> None:
        _log.warning("the job did not stop within %.0f s and is killed, to continue later", GRACE_SECONDS)
        self.kill_horse()
        os._exit(1)


class InProcessWorker(ResilientWorker, SimpleWorker):
    """Runs jobs in its own process, where models stay in memory."""

    def handle_warm_shutdown_request(self) -> None:
        stop_signal.request(True)
        _exit_after_grace(lambda: os._exit(1))


def make_worker(
    kind: type[ResilientWorker],
    role: str,
    queues: list[str],
    url: str,
    entries: Mapping[str, str | None],
    *,
    ending: Ending,
    run_queues: Sequence[str],
    run_seconds: Callable[[int], float | None],
    alive: Path,
) -> ResilientWorker:
    """Return a worker of `kind` on `queues`, in order of priority, once the broker answers at `url`.

    Args:
        kind: class of the worker.
        role: name of its role.
        queues: names of its queues.
        url: of the broker.
        entries: report of optional entries, see `worker.resolve.report`.
        ending: when it ends by itself.
        run_queues: those of `queues` that have trainings.
        run_seconds: returns the estimated seconds of the training of a task; None: not known.
        alive: file that is touched with every heartbeat, for health checks.
    """
    connection = connect(url)
    _wait_for(connection)
    # RQ refuses the name of another worker, even of a killed one, so each process has a new name
    name = f"{role}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    worker = kind(
        queues,
        name=name,
        connection=connection,
        serializer=JSONSerializer,
        worker_ttl=_WORKER_TTL,
        job_monitoring_interval=_MONITOR_SECONDS,
        log_job_description=False,
    )
    worker.entries = entries
    worker.ending = ending
    worker.run_queues = run_queues
    worker.run_seconds = run_seconds
    worker.alive = alive
    return worker


def wait_for_instance(database: Database) -> str:
    """Return the system's name, of which the names of its queues are made, once the database answers."""
    logged = False
    while True:
        try:
            return instance.name(database)
        except SQLAlchemyError as error:
            if not logged:
                _log.warning("waiting for the database: %s", str(getattr(error, "orig", error)).strip())
            logged = True
        finally:
            database.close()  # no connection survives the fork of a job
        time.sleep(DATABASE_WAIT_SECONDS)


def _wait_for(connection: Redis) -> None:
    logged = False
    while True:
        try:
            connection.ping()
            return
        except (ConnectionError, TimeoutError) as error:
            if not logged:
                _log.warning("waiting for the broker, which does not answer: %s", error)
            logged = True
        time.sleep(BROKER_WAIT_SECONDS)


def answers(connection: Redis) -> bool:
    """Return whether the broker answers."""
    try:
        return bool(connection.ping())
    except (ConnectionError, TimeoutError):
        return False


def _exit_after_grace(end: Callable[[], None]) -> None:
    timer = threading.Timer(GRACE_SECONDS, end)
    timer.daemon = True
    timer.start()
