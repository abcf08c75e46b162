"""Slices of log p through the API: requested, reused, and refused field by field."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from densitylab.backend.reconciler import System
from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.store import attributions, tasks

ASK = "/api/v1/densities"


@pytest.fixture
def trained(work: Any) -> int:
    work.prepare()
    (run_id,) = work.launch()
    work.train(run_id)
    return run_id


def test_slices_are_asked_for_made_and_kept(client: TestClient, work: Any, system: System, trained: int):
    body = {"runs": [trained], "index": 3}
    asked = client.post(ASK, json=body)
    assert asked.status_code == 202 and asked.headers["location"] == f"{ASK}/{asked.json()['id']}"
    held = work.claim(asked.json()["task"])
    of_run = {"run": trained, "at_image": 1.0, "slope": 2.0, "curve": [0.5, None], "plane": [[1.0]]}
    with system.database.write() as session:
        attributions.keep(
            session,
            asked.json()["id"],
            limit=None,
            data_hash="d",
            location="attributions/x",
            size=10,
            panels=[{"distances": [0, 1], "sides": [0], "of_runs": [of_run]}],
            seconds=0.1,
        )
        tasks.finish(session, held, Status.SUCCEEDED)
    done = client.post(ASK, json=body)
    assert (done.status_code, done.json()["id"]) == (200, asked.json()["id"])
    assert done.json()["of_runs"] == [of_run] and done.json()["request"]["direction"] == "gradient"
    assert client.get(f"/api/v1/attributions/{asked.json()['id']}").status_code == 404  # no maps
    assert client.post(ASK, json={**body, "extent": 2.0}).json()["id"] != asked.json()["id"]


@pytest.mark.parametrize(
    ("changes", "status", "pointer"),
    [
        ({"index": 30}, 422, "/index"),
        ({"direction": "image"}, 422, "/towards"),
        ({"towards": 2}, 422, "/towards"),
        ({"direction": "image", "towards": 3}, 422, "/towards"),
        ({"direction": "image", "towards": 99}, 422, "/towards"),
        ({"extent": 0.0}, 422, "/extent"),
        ({"steps": 2}, 422, "/steps"),
        ({"runs": [999]}, 404, "/runs/0"),
        ({"split": "upload"}, 422, "/index"),
    ],
)
@pytest.mark.few(5)
def test_a_wrong_field_is_named(client: TestClient, trained: int, changes: Any, status: int, pointer: str):
    answer = client.post(ASK, json={"runs": [trained], "index": 3, **changes})
    assert answer.status_code == status, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
