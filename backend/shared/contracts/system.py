"""The state of the system."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from backend.shared.contracts.fields import Answer
from backend.shared.contracts.work import QueueName, Task


class Readiness(Answer):
    status: Literal["ok", "degraded"]
    database: str  # "ok", or what is wrong
    broker: str
    workers: dict[QueueName, int]  # live workers by queue
    queued: int
    running: int
    degraded: list[str] = Field(default_factory=list)  # what is wrong, and what follows from it; empty: nothing


class Worker(Answer):
    name: str
    host: str
    queues: list[QueueName]
    device: str | None = None  # of the last run that it trained; null: none yet
    task: Task | None = None  # what it does just now
    memory_bytes: int | None = None  # of the process at that task, at its highest; null: idle, or not told yet
    device_memory_bytes: int | None = None  # the same of its GPU; null: it uses none
    since: datetime


class Broker(Answer):
    status: str  # "ok", or what is wrong
    version: str | None = None
    bytes: int | None = None  # of memory


class DatabaseState(Answer):
    kind: str
    version: str
    bytes: int
    revision: str | None


class Disk(Answer):
    """`free_bytes` of the disk with the state folder; the rest is what DensityLab has stored, wherever it is."""

    free_bytes: int
    total_bytes: int
    runs_bytes: int
    maps_bytes: int
    data_bytes: int
    backups_bytes: int


class System(Answer):
    workers: list[Worker]
    queues: dict[QueueName, int]  # jobs that wait; empty where the broker does not answer
    broker: Broker
    database: DatabaseState
    disk: Disk
    queued: int
    running: int
    versions: dict[str, str]
