"""The name of this system, made with its database and part of the names of its queues and jobs: several systems can use
one broker. No backup has it, so a copy that is restored beside the original is another system."""

from sqlalchemy import Column, MetaData, String, Table, select

from densitylab.backend.shared.contracts import QueueName
from densitylab.backend.shared.database import Database

TABLE = Table("instance", MetaData(), Column("name", String(16), primary_key=True))  # one row


def name(database: Database) -> str:
    """Return eight hexadecimal digits. Raises SQLAlchemyError while the database does not answer or is not migrated."""
    with database.read() as session:
        return session.execute(select(TABLE.c.name)).scalar_one()


def queue_name(instance: str, queue: QueueName) -> str:
    """Return the name of a queue with the broker."""
    return f"{instance}:{queue.value}"


def job_id(instance: str, task_id: int, delivery: int) -> str:
    """Return the id of a delivery with the broker."""
    return f"{instance}-{task_id}-{delivery}"
