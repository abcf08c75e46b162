import base64
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from PIL import Image

from densitylab.backend.api.app import _RESOURCES, create_app
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import QueueName
from densitylab.backend.shared.settings import Settings

CATALOG = Catalog.built_in()


def test_the_catalog_is_whole_and_keeps_paths_to_itself(client: TestClient):
    answer = client.get("/api/v1/catalog").json()
    assert {kind: [entry["key"] for entry in entries] for kind, entries in answer.items()} == {
        kind: list(entries) for kind, entries in CATALOG.by_kind.items()
    }
    assert "worker." not in client.get("/api/v1/catalog").text
    density = next(entry for entry in answer["regularizer"] if entry["key"] == "marginal_density")
    assert density["params"][1]["choices"] == ["1", "2", "inf"] and len(density["cautions"]) == 2


def test_a_data_set_is_absent_preparing_ready_and_shows_its_images(client: TestClient, work: Any):
    path = "/api/v1/datasets/blockmnist"
    assert client.get(path).json()["status"] == "absent"
    early = client.get(f"{path}/samples")
    assert early.status_code == 409 and early.headers["link"] == f'<{path}/prepare>; rel="prepare"'
    first = client.post(f"{path}/prepare")
    assert first.status_code == 202 and first.headers["location"] == f"/api/v1/tasks/{first.json()['id']}"
    assert client.post(f"{path}/prepare", json={"params": {"data_seed": 0}}).json()["id"] == first.json()["id"]
    wrong = client.post(f"{path}/prepare", json={"params": {"data_seed": -1}})
    assert wrong.status_code == 422 and wrong.json()["errors"][0]["pointer"] == "/params/data_seed"
    assert client.get(path).json()["status"] == "preparing"
    work.prepare()
    answer = client.get("/api/v1/datasets").json()["items"][0]
    assert (answer["status"], answer["image_size"], answer["sizes"]["test"]) == ("ready", [56, 28], 30)
    page = client.get(f"{path}/samples", params={"limit": 20}).json()
    rest = client.get(f"{path}/samples", params={"limit": 20, "cursor": page["next_cursor"]}).json()
    assert [item["index"] for item in page["items"] + rest["items"]] == list(range(30))
    assert rest["next_cursor"] is None and rest["total"] == 30
    chosen = client.get(f"{path}/samples", params={"index": [7, 3]}).json()["items"]
    assert [item["index"] for item in chosen] == [7, 3]
    picture = Image.open(io.BytesIO(base64.b64decode(chosen[0]["image"].removeprefix("data:image/png;base64,"))))
    assert picture.size == (28, 56) and (np.asarray(picture) == 7).all()
    assert chosen[0]["mask"].startswith("data:image/png;base64,")
    ones = client.get(f"{path}/samples", params={"label": 1, "split": "train"}).json()
    assert [item["index"] for item in ones["items"]] == [1, 11]
    beyond = client.get(f"{path}/samples", params={"index": [0, 30]})
    assert beyond.status_code == 422 and beyond.json()["errors"][0]["pointer"] == "/query/index/1"
    assert client.get(f"{path}/samples", params={"data_seed": 4}).status_code == 409


def test_a_task_is_shown_and_cancelled(client: TestClient):
    task = client.post("/api/v1/datasets/blockmnist/prepare").json()
    assert client.get(f"/api/v1/tasks/{task['id']}").json()["status"] == "queued"
    cancelled = client.post(f"/api/v1/tasks/{task['id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    refused = client.post(f"/api/v1/tasks/{task['id']}/cancel")
    assert refused.status_code == 409 and "has ended (cancelled)" in refused.json()["detail"]


def test_ready_tells_of_database_broker_and_work(client: TestClient, work: Any):
    work.start(work.launch({"evaluations": []})[0])
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "degraded",
        "database": "ok",
        "broker": "ok",
        "queued": 1,
        "running": 1,
        "workers": dict.fromkeys(QueueName, 0),
        "degraded": [f"No worker serves the queues {', '.join(QueueName)}: their tasks wait."],
    }
    assert client.get("/healthz").json() == {"status": "ok"}


def test_without_a_database_ready_is_503_and_the_rest_says_so(tmp_path: Path):
    nowhere = Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path}/missing/folder/x.sqlite")
    with TestClient(create_app(nowhere)) as client:
        assert client.get("/readyz").status_code == 503
        assert client.get("/readyz").json()["database"] == "does not answer"
        answer = client.get("/api/v1/runs")
        assert answer.status_code == 503 and answer.headers["content-type"] == "application/problem+json"
        assert client.get("/healthz").status_code == 200


def test_with_a_token_set_nobody_else_gets_in(settings: Settings):
    guarded = settings.model_copy(update={"api_token": Settings(home=settings.home, api_token="sécret").api_token})
    with TestClient(create_app(guarded)) as client:
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "Basic abc"},
            {"Authorization": b"Bearer \xff"},
        ):
            answer = client.get("/api/v1/runs", headers=headers)
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["content-type"] == "application/problem+json"
        assert client.get("/api/v1/runs", headers={"Authorization": "Bearer sécret".encode()}).status_code == 200
        assert client.get("/healthz").status_code == 200 and client.get("/readyz").status_code == 200


def test_every_refusal_is_declared_as_a_problem(client: TestClient):
    document = client.get("/openapi.json").json()
    names = set()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            names.add(operation["operationId"])
            assert operation["tags"] and operation["responses"]
            for status, response in operation["responses"].items():
                if status >= "400" and path != "/readyz":
                    assert list(response["content"]) == ["application/problem+json"]
    assert len(names) == sum(len(operations) for operations in document["paths"].values())
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_the_api_never_holds_torch():
    code = (
        "import sys, densitylab.backend.api.app, densitylab.backend.reconciler; "
        "print('torch' in sys.modules or 'densitylab.worker' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_no_route_of_a_resource_is_built_again_at_the_first_request():
    routes = [route for resource in _RESOURCES for route in resource.router.routes]
    assert len(routes) > 80
    assert {id(route) for route in routes} <= {id(route) for route in create_app().routes}
