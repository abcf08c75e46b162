"""What the system consists of just now: workers, queues, broker, database, disk, versions."""

import platform
import shutil
import sqlite3
from importlib import metadata
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from backend.queue import BrokerDown, LiveWorker, Queue
from backend.shared import contracts
from backend.shared.contracts import QueueName, Status
from backend.shared.settings import Settings
from backend.shared.store import tasks
from backend.shared.tables import ArtifactRow, AttributionRow, DatasetRow, RunRow, TaskRow

_PACKAGES = ("fastapi", "pydantic", "sqlalchemy", "rq", "redis")


def look(session: Session, queue: Queue, settings: Settings, code: dict[str, str]) -> contracts.System:
    """Looks at everything; a broker that does not answer leaves workers and queues empty and is said to be down."""
    live: list[LiveWorker] = []
    lengths: dict[QueueName, int] = {}
    broker = contracts.Broker(status="ok")
    try:
        live, lengths = queue.live_workers(), queue.lengths()
        broker.version, broker.bytes = queue.facts()
    except BrokerDown as down:
        broker.status = str(down)
    counts = tasks.counts(session)
    return contracts.System(
        workers=[_worker(session, worker) for worker in live], queues=lengths, broker=broker,
        database=_database(session), disk=_disk(session, settings), queued=counts.get(Status.QUEUED, 0),
        running=counts.get(Status.RUNNING, 0),
        versions={**code, "python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}},
    )


def _worker(session: Session, worker: LiveWorker) -> contracts.Worker:
    """What the broker knows of it, with the task that it holds and the device of the last run that it trained."""
    held = session.scalar(select(TaskRow).where(TaskRow.worker == worker.name, TaskRow.status == Status.RUNNING))
    device = session.scalar(
        select(RunRow.device).join(TaskRow, TaskRow.run_id == RunRow.id)
        .where(TaskRow.worker == worker.name, RunRow.device.is_not(None)).order_by(TaskRow.started_at.desc()).limit(1)
    )
    return contracts.Worker(
        name=worker.name, host=worker.host, queues=worker.queues, device=device, since=worker.since,
        **({} if held is None else {"task": tasks.answer(held), "memory_bytes": held.memory_bytes,
                                    "device_memory_bytes": held.device_memory_bytes}),
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
    """Sizes of files are those that were noted when they were stored, so that no store has to be walked."""
    folder = settings.home
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    backups = settings.home / "backups"
    return contracts.Disk(
        free_bytes=usage.free, total_bytes=usage.total, runs_bytes=_total(session, ArtifactRow.bytes),
        maps_bytes=_total(session, AttributionRow.bytes), data_bytes=_total(session, DatasetRow.bytes),
        backups_bytes=sum(_size(path) for path in backups.glob("*.sqlite")),
    )


def _total(session: Session, column: object) -> int:
    return int(session.scalar(select(func.sum(column))) or 0)  # type: ignore[arg-type]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # a write-ahead log comes and goes
        return 0
