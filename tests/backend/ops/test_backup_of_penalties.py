"""A backup holds computed penalties, and refuses ones that the code could not have written."""

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from densitylab.backend.ops import backup_rows
from densitylab.backend.reconciler import System
from densitylab.backend.shared.store import penalties
from densitylab.backend.shared.tables import Base
from tests.backend.api.test_api_penalties import ASK, found


def test_a_task_of_penalties_is_read_again_and_a_wrong_one_refused(client: TestClient, work: Any, system: System):
    work.prepare()
    task_id = client.post(ASK, json={"lambda_": 1}).json()["id"]
    with system.database.write() as session:
        penalties.keep(session, task_id, found(task_id))
    table = Base.metadata.tables["tasks"]
    with system.database.read() as session:
        (row,) = session.execute(select(table).where(table.c.id == task_id)).mappings()
    (again,) = backup_rows.decode(table, [backup_rows.encode(row)])
    assert again["payload"] == row["payload"]
    wrong = {**row, "payload": {**row["payload"], "found": {"penalty": "much"}}}
    with pytest.raises(backup_rows.BadBackup, match="table tasks is not valid"):
        list(backup_rows.decode(table, [backup_rows.encode(wrong)]))
