"""Start a worker: `densitylab worker {training|interactive|prepare}`.

Torch and all components are imported before the first fork, so that a job starts at once; before the fork no
operation of torch runs, which would start threads, and nothing touches CUDA, which does not survive a fork.
"""

import gc
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch._dynamo  # every optimizer imports it, which takes a second
from pydantic import ValidationError
from sqlalchemy.orm import configure_mappers

import densitylab.worker.jobs.attribute
import densitylab.worker.jobs.density
import densitylab.worker.jobs.evaluate
import densitylab.worker.jobs.export
import densitylab.worker.jobs.penalties
import densitylab.worker.jobs.prepare
import densitylab.worker.jobs.preview_images
import densitylab.worker.jobs.register
import densitylab.worker.jobs.train  # noqa: F401
from densitylab.backend.shared import log_format, tracing
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import TRAINING_QUEUES, QueueName
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings, explain
from densitylab.backend.shared.store.instance import queue_name
from densitylab.worker import arguments as command_line
from densitylab.worker import resolve
from densitylab.worker.jobs import context
from densitylab.worker.jobs.remaining_time import remaining_seconds
from densitylab.worker.runtime import ending, huge_pages, stop_signal
from densitylab.worker.runtime.rq_workers import (
    ForkingWorker,
    InProcessWorker,
    ResilientWorker,
    make_worker,
    wait_for_instance,
)


@dataclass(frozen=True)
class Role:
    """The kind of a worker process and its queues."""

    kind: type[ResilientWorker]
    queues: tuple[QueueName, ...]
    run_queues: tuple[QueueName, ...] = ()  # those of trainings


ROLES = {
    "training": Role(ForkingWorker, TRAINING_QUEUES, TRAINING_QUEUES[1:]),
    "interactive": Role(InProcessWorker, (QueueName.INTERACTIVE,)),
    "prepare": Role(ForkingWorker, (QueueName.PREPARE,)),
}


def main(arguments: Sequence[str] | None = None) -> None:
    name, end = command_line.parse(ROLES, arguments)
    if end.until is not None:
        ending.terminate_at(end.until)
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit(explain(error))
    log_format.set_up(settings.log_format)
    tracing.enabled()  # imports what the jobs need, and says what is missing
    catalog = Catalog.installed()
    entries = resolve.report(catalog)
    for entry, reason in entries.items():
        if reason is not None:
            optional = catalog.find(*entry.split(" ", 1)).package is not None
            logging.log(logging.DEBUG if optional else logging.WARNING, "%s cannot be used here: %s", entry, reason)
    configure_mappers()
    context.preload(settings, catalog)
    stop_signal.install()
    role = ROLES[name]
    if role.kind is InProcessWorker:
        torch.set_num_threads(1)  # the cores are for training; a map needs little
    own = wait_for_instance(Database(settings.database_url))
    queues = [queue_name(own, queue) for queue in role.queues]
    rq_worker = make_worker(
        role.kind,
        name,
        queues,
        settings.redis_url,
        entries,
        ending=end,
        run_queues=[queue_name(own, queue) for queue in role.run_queues],
        run_seconds=partial(remaining_seconds, settings.database_url, catalog),
        alive=settings.alive_file(name),
    )
    os.environ["RQ_WORKER_ID"] = rq_worker.name  # noted with each task that it claims
    gc.collect()
    gc.freeze()  # memory loaded so far stays shared with the forked jobs
    if role.kind is ForkingWorker:
        huge_pages.collapse()
    logging.info("ready for %s", ", ".join(role.queues))
    rq_worker.work(logging_level="WARNING")
    settings.alive_file(name).unlink(missing_ok=True)
    sys.stdout.flush()
    os._exit(0)  # skips the interpreter's shutdown, in which libraries of torch report long lists of leaks


if __name__ == "__main__":
    main()
