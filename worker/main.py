"""Starts a worker: `python -m worker.main {training|interactive|prepare}`.

Torch and all components are imported before the first fork, so that a job starts at once; before it no operation of
torch runs, which would start threads, and nothing touches CUDA, which would not survive it.
"""

import argparse
import gc
import logging
import os
import sys
from dataclasses import dataclass

import torch
import torch._dynamo  # every optimizer imports it, which takes a second that no job shall wait for
from pydantic import ValidationError
from rq.worker import BaseWorker
from sqlalchemy.orm import configure_mappers

import worker.jobs.attribute
import worker.jobs.density
import worker.jobs.evaluate
import worker.jobs.prepare
import worker.jobs.register
import worker.jobs.train  # noqa: F401
from backend.shared import log_lines
from backend.shared.catalog import CATALOG
from backend.shared.contracts import TRAINING_QUEUES, QueueName
from backend.shared.settings import Settings, explain
from worker import pages, resolve, shutdown
from worker.jobs import context
from worker.processes import ForkingWorker, InProcessWorker, make_worker


@dataclass(frozen=True)
class Role:
    """What a worker process serves, and how."""

    kind: type[BaseWorker]
    queues: tuple[QueueName, ...]


ROLES = {
    "training": Role(ForkingWorker, TRAINING_QUEUES),
    "interactive": Role(InProcessWorker, (QueueName.INTERACTIVE,)),
    "prepare": Role(ForkingWorker, (QueueName.PREPARE,)),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m worker.main", description=__doc__.splitlines()[0])
    parser.add_argument("role", choices=ROLES)
    name = parser.parse_args().role
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit(explain(error))
    log_lines.set_up(settings.log_format)
    for entries in CATALOG.values():
        for entry in entries:
            resolve.load(entry)
    configure_mappers()
    context.make_ready(settings)
    shutdown.listen()
    role = ROLES[name]
    if role.kind is InProcessWorker:
        torch.set_num_threads(1)  # the cores are for training; a map needs little
    rq_worker = make_worker(role.kind, name, [queue.value for queue in role.queues], settings.redis_url)
    os.environ["RQ_WORKER_ID"] = rq_worker.name  # noted with each task that it claims
    gc.collect()
    gc.freeze()  # what is loaded by now stays shared with the forked jobs
    if role.kind is ForkingWorker:
        pages.collapse()
    logging.info("ready for %s", ", ".join(role.queues))
    rq_worker.work(logging_level="WARNING")
    sys.stdout.flush()
    os._exit(0)  # past the interpreter's end, where libraries of torch report leaks in pages


if __name__ == "__main__":
    main()
