"""The table of runs is written row by row, before all columns are known."""

import csv
import io
from typing import Any

from fastapi.testclient import TestClient

from densitylab.backend.reconciler import System
from densitylab.backend.services import runs_csv


def test_early_rows_have_the_columns_that_later_ones_add(
    work: Any, system: System, client: TestClient, monkeypatch: Any
):
    first, second, third = work.launch({"evaluations": [{"key": "accuracy"}]}, {"seed": [0, 1, 2]})
    work.train(second)
    work.finish_evaluations(second, 0.75)
    client.patch(f"/api/v1/runs/{first}", json={"notes": 'two\nlines, "quoted"\r\n'})
    client.patch(f"/api/v1/runs/{third}", json={"notes": "=1+1", "tags": ["a", "b"]})
    whole = client.get("/api/v1/runs.csv", params={"sort": "id"}).text
    rows = list(csv.DictReader(io.StringIO(whole, newline="")))
    assert [row["id"] for row in rows] == [str(first), str(second), str(third)]
    assert [row["results.accuracy.accuracy.value"] for row in rows] == ["", "0.75", ""]
    assert rows[0]["notes"] == 'two\nlines, "quoted"\r\n' and rows[2]["notes"] == "'=1+1" and rows[2]["tags"] == "a b"
    widths = {len(row) for row in csv.reader(io.StringIO(whole, newline=""))}
    assert len(widths) == 1
    monkeypatch.setattr(runs_csv, "_CHUNK", 1)
    monkeypatch.setattr(runs_csv, "_IN_MEMORY", 10)  # the rest lies on the disk
    with system.database.read() as session:
        parts = list(runs_csv.parts(session, [first, second, third]))
    assert len(parts) == 4 and b"".join(parts).decode() == whole


def test_no_runs_are_a_header(client: TestClient, work: Any):
    assert client.get("/api/v1/runs.csv").text == "id,experiment,name,status,notes,tags,archived\r\n"
