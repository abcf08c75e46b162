"""The state of the system."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from densitylab.backend.shared.contracts.fields import Answer
from densitylab.backend.shared.contracts.work import QueueName, Task


class Readiness(Answer):
    """Whether launches are accepted and executed."""

    status: Literal["ok", "degraded"] = Field(description="degraded: something needs attention")
    database: str = Field(description='"ok", or what is wrong')
    broker: str = Field(description='"ok", or what is wrong')
    workers: dict[QueueName, int] = Field(description="live workers by queue")
    queued: int = Field(description="number of queued tasks")
    running: int = Field(description="number of running tasks")
    degraded: list[str] = Field(default_factory=list, description="a sentence for each problem; empty: none")


class Worker(Answer):
    """A live worker."""

    name: str = Field(description="unique name")
    host: str = Field(description="host name of its machine")
    queues: list[QueueName] = Field(description="in the order in which it serves them")
    device: str | None = Field(default=None, description="device of the last run that it trained; null: none yet")
    task: Task | None = Field(default=None, description="its present task; null: it is idle")
    memory_bytes: int | None = Field(
        default=None, description="peak memory of its process in that task; null: idle, or not reported yet"
    )
    device_memory_bytes: int | None = Field(default=None, description="peak memory on its GPU; null: it uses none")
    since: datetime = Field(description="its start, UTC")
    load: float | None = Field(
        default=None,
        description="processes that compute or wait for a processor on its machine, mean of a minute, when it last "
        "reported; null: not reported",
    )
    cores: int | None = Field(default=None, description="processor cores of its machine; null: not reported")


class Broker(Answer):
    """State of the broker."""

    status: str = Field(description='"ok", or what is wrong')
    version: str | None = Field(default=None, description="version of the server; null: it does not answer")
    bytes: int | None = Field(default=None, description="memory that it uses; null: it does not answer")


class DatabaseState(Answer):
    """State of the database."""

    kind: str = Field(description="SQLite or PostgreSQL")
    version: str = Field(description="version of the database")
    bytes: int = Field(description="size")
    revision: str | None = Field(description="revision of the tables")


class Disk(Answer):
    """`free_bytes` and `total_bytes` of the disk with the state folder; the other sizes are of stored files."""

    free_bytes: int = Field(description="free on the disk with the state folder")
    total_bytes: int = Field(description="size of that disk")
    runs_bytes: int = Field(description="checkpoints and results")
    maps_bytes: int = Field(description="cached maps")
    data_bytes: int = Field(description="prepared data sets")
    backups_bytes: int = Field(description="backups in the state folder")
    problems: list[str] = Field(
        default_factory=list, description="a sentence for each disk that is full or nearly full"
    )


class InstalledPlugin(Answer):
    """A package that offers catalog entries, as the API has it installed."""

    package: str = Field(description="name of the package")
    version: str = Field(description="its version")
    entries: list[str] = Field(description='"kind key"')
    problems: list[str] = Field(default_factory=list, description="why entries of it, or all of it, were left out")


class System(Answer):
    """State of the whole system."""

    workers: list[Worker] = Field(description="live workers")
    queues: dict[QueueName, int] = Field(description="waiting jobs; empty if the broker does not answer")
    broker: Broker = Field(description="state of the broker")
    database: DatabaseState = Field(description="state of the database")
    disk: Disk = Field(description="disk space")
    queued: int = Field(description="number of queued tasks")
    running: int = Field(description="number of running tasks")
    versions: dict[str, str] = Field(description="versions by package")
    plugins: list[InstalledPlugin] = Field(default_factory=list, description="installed plug-ins")
