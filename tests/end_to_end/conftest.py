"""A running system, shared by the tests that do not kill parts of it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.end_to_end.systems import RunningSystem, started
from tests.servers import broker_and_database


@pytest.fixture(scope="session")
def running_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """Start everything that `densitylab up` starts, in a temporary state folder and on free ports.

    Broker and database are embedded; with TEST_SERVERS they are a temporary Redis and PostgreSQL.
    """
    with tempfile.TemporaryDirectory(prefix="dl-") as home, ExitStack() as stack:
        servers: dict[str, str] = {}
        if os.environ.get("TEST_SERVERS"):
            _, servers = broker_and_database(stack, tmp_path_factory.mktemp("servers"))
        yield stack.enter_context(started(Path(home), tmp_path_factory.mktemp("system") / "log.txt", servers))
