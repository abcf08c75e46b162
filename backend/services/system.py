"""Current state of the system: workers, queues, broker, database, disk, versions."""

import platform
import shutil
import sqlite3
from importlib import metadata
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from densitylab.backend.broker.queue import BrokerUnavailable, LiveWorker, Queue
from densitylab.backend.services import disks
from densitylab.backend.shared import contracts
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import QueueName, Status
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import tasks, totals
from densitylab.backend.shared.tables import AttributionRow, DatasetRow, RunRow, TaskRow

_PACKAGES = ("fastapi", "pydantic", "sqlalchemy", "rq", "redis")


def describe(
    session: Session, catalog: Catalog, queue: Queue, settings: Settings, code: dict[str, str]
) -> contracts.System:
    """Return the state; workers and queues are empty if the broker does not answer."""
    live: list[LiveWorker] = []
    lengths: dict[QueueName, int] = {}
    broker = contracts.Broker(status="ok")
    try:
        live, lengths = queue.live_workers(), queue.lengths()
        broker.version, broker.bytes = queue.info()
    except BrokerUnavailable as down:
        broker.status = str(down)
    counts = tasks.counts(session)
    return contracts.System(
        workers=[_worker(session, worker) for worker in live],
        queues=lengths,
        broker=broker,
        database=_database(session),
        disk=_disk(session, settings),
        queued=counts.get(Status.QUEUED, 0),
        running=counts.get(Status.RUNNING, 0),
        plugins=_plugins(catalog),
        versions={**code, "python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}},
    )


def _plugins(catalog: Catalog) -> list[contracts.InstalledPlugin]:
    entries = [entry for kind in catalog.by_kind for entry in catalog.all(kind)]
    installed = sorted(
        {entry.plugin for entry in entries if entry.plugin} | {problem.plugin for problem in catalog.problems},
        key=lambda plugin: plugin.package,
    )
    return [
        contracts.InstalledPlugin(
            package=plugin.package,
            version=plugin.version,
            entries=[f"{entry.kind} {entry.key}" for entry in entries if entry.plugin == plugin],
            problems=[
                f"{problem.entry}: {problem.reason}" if problem.entry else problem.reason
                for problem in catalog.problems
                if problem.plugin == plugin
            ],
        )
        for plugin in installed
    ]


def _worker(session: Session, worker: LiveWorker) -> contracts.Worker:
    """Return a live worker with its task and the device of the last run that it trained."""
    task = session.scalar(select(TaskRow).where(TaskRow.worker == worker.name, TaskRow.status == Status.RUNNING))
    device = session.scalar(
        select(RunRow.device)
        .join(TaskRow, TaskRow.run_id == RunRow.id)
        .where(TaskRow.worker == worker.name, RunRow.device.is_not(None))
        .order_by(TaskRow.started_at.desc())
        .limit(1)
    )
    return contracts.Worker(
        name=worker.name,
        host=worker.host,
        queues=worker.queues,
        device=device,
        since=worker.since,
        load=worker.load[0] if worker.load else None,
        cores=worker.load[1] if worker.load else None,
        **(
            {}
            if task is None
            else {
                "task": tasks.answer(task),
                "memory_bytes": task.memory_bytes,
                "device_memory_bytes": task.device_memory_bytes,
            }
        ),
    )


def _database(session: Session) -> contracts.DatabaseState:
    kind = session.get_bind().dialect.name
    if kind == "sqlite":
        version = sqlite3.sqlite_version
        name = session.execute(text("SELECT file FROM pragma_database_list WHERE name = 'main'")).scalar_one()
        size = sum(_size(Path(name + suffix)) for suffix in ("", "-wal", "-shm"))
    else:
        version = session.execute(text("SHOW server_version")).scalar_one()
        size = session.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
    revision = session.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return contracts.DatabaseState(kind=kind, version=version, bytes=size, revision=revision)


def _disk(session: Session, settings: Settings) -> contracts.Disk:
    """Return the sizes that were recorded when files were stored, without listing the store."""
    folder = settings.home
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    backups = settings.home / "backups"
    return contracts.Disk(
        free_bytes=usage.free,
        total_bytes=usage.total,
        runs_bytes=totals.artifact_bytes(session),
        maps_bytes=_total(session, AttributionRow.bytes),
        data_bytes=_total(session, DatasetRow.bytes),
        backups_bytes=sum(_size(path) for path in backups.glob("*.sqlite")),
        problems=disks.problems(settings),
    )


def _total(session: Session, column: object) -> int:
    return int(session.scalar(select(func.sum(column))) or 0)  # type: ignore[arg-type]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # a write-ahead log comes and goes
        return 0
