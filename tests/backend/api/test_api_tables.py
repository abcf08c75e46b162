"""Parquet and Arrow files of runs, results and curves."""

import csv
import io
import sys
from datetime import UTC, datetime
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from fastapi.testclient import TestClient

from densitylab.backend import services
from densitylab.backend.services import run_tables
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import metrics
from densitylab.backend.shared.store.metrics import Point


def read(client: TestClient, name: str, **query: Any) -> pyarrow.Table:
    answer = client.get(f"/api/v1/{name}", params=query)
    assert answer.status_code == 200, answer.text
    assert f'filename="{name}"' in answer.headers["content-disposition"]
    file = io.BytesIO(answer.content)
    if name.endswith(".parquet"):
        return pyarrow.parquet.read_table(file)
    return pyarrow.ipc.open_file(file).read_all()


def test_runs_have_the_columns_of_the_csv_in_their_own_types(client: TestClient, work: Any):
    first, second = work.launch(sweep={"lambda_": [0, 0.5]})
    (third,) = work.launch({"model": {"key": "cnn"}, "regularizer": {"key": "none"}})
    work.train(first)
    work.finish_evaluations(first)
    client.patch(f"/api/v1/runs/{second}", json={"tags": ["a", "b"], "notes": "=1+1"})
    (header, *rows) = csv.reader(io.StringIO(client.get("/api/v1/runs.csv?sort=id").text))
    for form in ("parquet", "arrow"):
        table = read(client, f"runs.{form}", sort="id")
        assert table.column_names == header and table.num_rows == len(rows) == 3
        columns = table.to_pydict()
        assert columns["id"] == [first, second, third]
        assert columns["tags"] == [[], ["a", "b"], []] and columns["notes"] == ["", "=1+1", ""]
        assert columns["spec.lambda_"] == [0.0, 0.5, 0.1] and columns["archived"] == [False] * 3
        assert columns["results.accuracy.accuracy.value"] == [0.9, None, None]
        assert columns["error"] == [None] * 3 and table.schema.field("error").type == pyarrow.string()
        created = datetime.fromisoformat(client.get(f"/api/v1/runs/{first}").json()["created_at"])
        assert columns["created_at"][0] == created and created.tzinfo == UTC
        assert table.schema.field("spec.gradient_clip").type == pyarrow.float64()
        assert '"key": "accuracy"' in columns["evaluations"][0] and columns["missing"] == [[]] * 3


def test_a_table_has_only_the_runs_that_match(client: TestClient, work: Any):
    members = work.launch(sweep={"seed": [0, 1, 2]})
    work.train(members[1])
    assert read(client, "runs.parquet", status=["succeeded", "failed"])["id"].to_pylist() == [members[1]]
    assert read(client, "runs.arrow", seed=[0, 2])["id"].to_pylist() == [members[2], members[0]]
    empty = read(client, "runs.parquet", status="failed")
    assert empty.num_rows == 0 and {"id", "status"} <= set(empty.column_names)
    assert client.get("/api/v1/runs.parquet?statsu=failed").status_code == 422
    assert client.get("/api/v1/nothing.parquet").status_code == 422


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_results_and_curves_are_long(client: TestClient, work: Any, database: Database, form: str):
    first, second, third = work.launch(sweep={"seed": [0, 1, 2]})
    for run_id, accuracy in ((first, 0.5), (third, 0.9)):
        work.train(run_id)
        work.finish_evaluations(run_id, accuracy)
        with database.write() as session:
            points = [
                Point(name, step, step / 10, run_id * step, 0.1) for name in ("loss", "penalty") for step in (1, 2)
            ]
            metrics.append(session, run_id, points)
    results = read(client, f"results.{form}", sort="id", where="results.accuracy.accuracy>0").to_pylist()
    assert [row for row in results if row["evaluation"] == "accuracy"] == [
        {"run": run, "evaluation": "accuracy", "name": "accuracy", "value": value, "low": 0.1, "high": 1.0, "n": 10}
        for run, value in ((first, 0.5), (third, 0.9))
    ]
    curves = read(client, f"curves.{form}", ids=[first, second, third], sort="-id").to_pylist()
    assert [(row["run"], row["name"], row["step"]) for row in curves] == [
        (run, name, step) for run in (third, first) for name in ("loss", "penalty") for step in (1, 2)
    ]
    assert curves[0] == {"run": third, "name": "loss", "step": 1, "epoch": 0.1, "value": third, "seconds": 0.1}
    assert read(client, f"curves.{form}", ids=[second]).column_names == list(curves[0])


def test_values_of_several_types_are_text():
    assert run_tables.column("provenance.x", [1, "a", None, [2], {}]).to_pylist() == ["1", "a", None, "[2]", "{}"]
    assert run_tables.column("provenance.x", [1, 2.5]).to_pylist() == [1.0, 2.5]
    assert run_tables.column("provenance.x", [2**80, 1]).to_pylist() == [str(2**80), "1"]
    assert run_tables.column("provenance.x", [True, 1]).to_pylist() == ["true", "1"]


def test_without_the_package_the_answer_says_what_to_install(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, run_tables.__name__)
    monkeypatch.delattr(services, "run_tables")
    answer = client.get("/api/v1/runs.parquet")
    assert answer.status_code == 501
    assert "pip install 'densitylab[parquet]'" in answer.json()["detail"]
