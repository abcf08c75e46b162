"""Each kind of problem has a stable address, with a page that says what to do."""

from fastapi.testclient import TestClient

from densitylab.backend.api.routes.problems import explanations
from densitylab.backend.shared.contracts import Problem, ProblemType

KINDS = [kind for kind in ProblemType if kind != ProblemType.OTHER]


def test_every_kind_has_a_page_and_every_page_is_of_a_kind(client: TestClient):
    assert [f"/problems/{name}" for name in explanations()] == KINDS
    for kind in KINDS:
        page = client.get(kind)
        assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
        assert "<script" not in page.text and kind.rpartition("/")[2] in page.text
    assert client.get("/problems/nothing").status_code == 404


def test_a_problem_names_its_kind(client: TestClient):
    launch = "/api/v1/experiments"
    key = {"Idempotency-Key": "k"}
    client.post(launch, json={"name": "a"}, headers=key)
    kinds = {
        client.get("/api/v1/runs/99").json()["type"],
        client.post(launch, json={"name": "b"}, headers=key).json()["type"],
        client.post(launch, json={"spec": {"dataset": {"key": "mnist"}, "evaluations": []}}).json()["type"],
        client.post(launch, json={"spec": {"lambda_": -1}}).json()["type"],
        client.post(launch, content=b"{").json()["type"],
        client.put(launch).json()["type"],
    }
    assert kinds == {
        "/problems/not-found",
        "/problems/idempotency-conflict",
        "/problems/not-prepared",
        "/problems/invalid-request",
        "/problems/unsupported-media-type",
        "/problems/method-not-allowed",
    }


def test_a_kind_of_another_version_is_read():
    problem = {"type": "/problems/of-tomorrow", "title": "", "status": 418}
    assert Problem.model_validate(problem).type == Problem(title="", status=418).type == ProblemType.OTHER
