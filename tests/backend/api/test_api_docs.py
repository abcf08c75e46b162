"""The documentation at /docs, the headers of every answer, and the API below a path."""

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from densitylab.backend.api.app import create_app
from densitylab.backend.shared.settings import Settings


@pytest.fixture
def below(settings: Settings) -> Iterator[TestClient]:
    """Return a client of the app with DENSITYLAB_PUBLIC_URL set."""
    with TestClient(create_app(settings.model_copy(update={"public_url": "http://localhost/lab"}))) as client:
        yield client


def files_of(page: str) -> list[str]:
    return [address for address in re.findall(r'(?:src|href)="([^"]+)"', page) if not address.startswith("data:")]


def test_the_documentation_and_its_files_come_from_this_server(client: TestClient):
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    names = files_of(page.text)
    assert len(names) == 3 and "<script>" not in page.text
    for name in names:
        assert re.match(r"docs/[a-z.-]+$", name), "an address relative to the page, without a host"
        file = client.get(f"/{name}")
        assert file.status_code == 200 and file.headers["content-type"].startswith(("text/javascript", "text/css"))
    assert client.get("/docs/nothing.js").status_code == 404


def test_the_documentation_runs_no_script_of_others(client: TestClient):
    policy = client.get("/docs").headers["content-security-policy"]
    assert "script-src 'self';" in policy and "frame-ancestors 'none'" in policy and "default-src 'none'" in policy


@pytest.mark.parametrize(
    "path", ["/api/v1/runs", "/healthz", "/metrics", "/nothing", "/openapi.json", "/api/v1/runs/0"]
)
def test_other_answers_may_do_nothing_in_a_browser(client: TestClient, path: str):
    headers = client.get(path).headers
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["x-content-type-options"] == "nosniff"


def test_a_refused_host_gets_the_headers_too(client: TestClient):
    refused = client.get("/docs", headers={"Host": "evil.example"})
    assert refused.status_code == 400 and refused.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("prefix", ["", "/lab"])
def test_the_api_answers_with_and_without_the_prefix(below: TestClient, prefix: str):
    assert below.get(f"{prefix}/api/v1/runs").json()["items"] == []
    assert below.get(f"{prefix}/healthz").status_code == 200
    assert below.get(f"{prefix}/openapi.json").json()["servers"] == [{"url": "/lab"}]
    for name in files_of(below.get(f"{prefix}/docs").text):
        assert below.get(f"{prefix}/{name}").status_code == 200


def test_a_location_has_the_prefix(below: TestClient):
    made = below.post("/lab/api/v1/experiments", json={"name": "x"})
    assert made.headers["location"] == f"/lab/api/v1/experiments/{made.json()['id']}"
    assert below.get(made.headers["location"]).json()["name"] == "x"


def test_limits_hold_below_the_prefix(below: TestClient):
    refused = below.post("/lab/api/v1/experiments", content=b" " * (2**20 + 1))
    assert refused.status_code == 413


def test_without_a_prefix_the_server_is_this_one(client: TestClient):
    assert [item["url"] for item in client.get("/openapi.json").json()["servers"]] == ["/"]
