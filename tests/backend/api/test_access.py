"""Authentication, rate limits, callers' names and the audit log."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from densitylab.backend.api.app import create_app
from densitylab.backend.api.middleware import rate_limit
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import audit
from densitylab.backend.shared.tables import TokenRow

ADMINISTRATOR = {"Authorization": "Bearer secret"}


@pytest.fixture
def guarded(settings: Settings) -> Iterator[TestClient]:
    """Return a client of the app with DENSITYLAB_API_TOKEN set."""
    token = Settings(home=settings.home, api_token="secret").api_token
    with TestClient(create_app(settings.model_copy(update={"api_token": token}))) as client:
        yield client


def new_token(client: TestClient, name: str = "notebook", **more: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/tokens", json={"name": name, **more}, headers=ADMINISTRATOR)
    assert answer.status_code == 201, answer.text
    return answer.json()


def bearer(token: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {token['token']}"}


def test_a_token_lets_in_until_it_is_revoked(guarded: TestClient):
    first, second = new_token(guarded), new_token(guarded, "other")
    assert guarded.get("/api/v1/runs", headers=bearer(first)).status_code == 200
    revoked = guarded.delete(f"/api/v1/tokens/{first['id']}", headers=ADMINISTRATOR).json()
    assert revoked["revoked_at"] is not None and "token" not in revoked
    assert guarded.get("/api/v1/runs", headers=bearer(first)).status_code == 401
    assert guarded.get("/api/v1/runs", headers=bearer(second)).status_code == 200


def test_a_read_only_token_reads_and_no_more(guarded: TestClient):
    reader = bearer(new_token(guarded, read_only=True))
    assert guarded.get("/api/v1/runs", headers=reader).status_code == 200
    for method, path in (("POST", "/experiments"), ("PATCH", "/runs/1"), ("DELETE", "/runs/1"), ("POST", "/tokens")):
        answer = guarded.request(method, f"/api/v1{path}", json={}, headers=reader)
        assert answer.status_code == 403 and "read-only" in answer.json()["detail"]


def test_a_token_is_told_once_and_kept_as_its_hash(guarded: TestClient, database: Database):
    made = new_token(guarded)
    listed = guarded.get("/api/v1/tokens", headers=ADMINISTRATOR)
    assert [item["name"] for item in listed.json()["items"]] == ["notebook"]
    assert made["token"] not in listed.text
    with database.read() as session:
        row = session.scalars(select(TokenRow)).one()
    assert made["token"].split("-", 2)[2] not in str(vars(row)) and len(row.digest) == 64


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "dl-1-",
        "dl-1-" + "A" * 43,
        "dl-99-" + "A" * 43,
        "dl-999999999-" + "A" * 43,
        "secre",
        "secrets",
        "DL-1-x",
        "dl-1-" + "é" * 43,
    ],
)
def test_what_was_never_given_out_lets_nobody_in(guarded: TestClient, wrong: str):
    new_token(guarded)
    answer = guarded.get("/api/v1/runs", headers={"Authorization": f"Bearer {wrong}".encode()})
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"


def test_without_the_right_token_no_route_of_the_api_answers_or_reads_a_body(guarded: TestClient):
    reader = bearer(new_token(guarded, read_only=True))
    read: list[str] = []
    seen = 0

    def body(route: str) -> Iterator[bytes]:
        read.append(route)
        yield b"{}"

    for path, operations in guarded.get("/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            if path in ("/healthz", "/readyz", "/problems/{name}"):
                continue
            reading = method == "get" or path == "/api/v1/stream-tokens"
            seen += 1
            assert {"401", "403", "429", "503"} <= operation["responses"].keys(), path
            named = path.replace("{key}", "mlp").replace("{name}", "a").replace("{", "").replace("}", "")
            route = f"{method} {named}"
            assert guarded.request(method, named, content=body(route)).status_code == 401, route
            if not reading:
                assert guarded.request(method, named, content=body(route), headers=reader).status_code == 403, route
    assert seen > 30 and read == []


def test_public_routes_read_no_body(guarded: TestClient):
    read: list[str] = []

    def body() -> Iterator[bytes]:
        read.append("a body")
        yield b"{}"

    for path in ("/healthz", "/readyz", "/openapi.json", "/problems/conflict"):
        assert guarded.request("GET", path, content=body()).status_code < 400
        assert guarded.request("POST", path, content=body()).status_code == 405
    assert guarded.post("/api/v1/nothing", content=body()).status_code == 401
    assert guarded.post("/api/v1/nothing", content=body(), headers=ADMINISTRATOR).status_code == 404
    assert read == []


def test_every_change_leaves_a_line_and_what_was_refused_none(guarded: TestClient):
    member = bearer(new_token(guarded, "ada"))
    launched = guarded.post(
        "/api/v1/experiments", json={"name": "e"}, headers={**member, "X-Request-ID": "my-request.1"}
    )
    assert launched.headers["x-request-id"] == "my-request.1"
    run = launched.json()["runs"][0]
    guarded.patch(f"/api/v1/runs/{run}", json={"notes": "n"}, headers=ADMINISTRATOR)
    guarded.patch(f"/api/v1/runs/{run}", json={"notes": 1}, headers=member)  # 422
    guarded.delete(f"/api/v1/runs/{run}", headers=member)  # 409
    guarded.get("/api/v1/runs", headers=member)
    answer = guarded.get("/api/v1/audit", headers=member).json()
    assert [(line["caller"], line["method"], line["path"], line["status"]) for line in answer["items"]] == [
        ("administrator", "PATCH", f"/api/v1/runs/{run}", 200),
        ("ada", "POST", "/api/v1/experiments", 202),
        ("administrator", "POST", "/api/v1/tokens", 201),
    ]
    assert answer["items"][1]["request_id"] == "my-request.1"
    assert answer["items"][1]["location"] == f"/api/v1/experiments/{launched.json()['id']}"


def test_a_line_is_stored_with_the_change_itself(client: TestClient, monkeypatch: pytest.MonkeyPatch):
    def gone(*_args: Any, **_more: Any) -> None:
        raise OperationalError("", {}, Exception("the process dies here"))

    monkeypatch.setattr(audit, "complete", gone)
    launched = client.post("/api/v1/experiments", json={})
    assert launched.status_code == 202
    (line,) = client.get("/api/v1/audit").json()["items"]
    assert (line["path"], line["status"], line["location"]) == ("/api/v1/experiments", 202, None)


def test_what_changes_nothing_leaves_no_line(client: TestClient, work: Any):
    run = work.launch({"evaluations": []})[0]
    client.post("/api/v1/experiments", params={"dry_run": True}, json={}).raise_for_status()
    bulk = {"runs": [run, 999], "action": "archive", "dry_run": True}
    client.post("/api/v1/bulk/runs", json=bulk).raise_for_status()
    for method, path in (
        ("PATCH", "/experiments/999"),
        ("PATCH", "/runs/999"),
        ("DELETE", "/runs/999"),
        ("DELETE", "/experiments/999"),
        ("DELETE", "/tokens/999"),
        ("DELETE", "/webhooks/999"),
        ("POST", "/tasks/999/cancel"),
        ("POST", "/runs/999/cancel"),
        ("POST", "/runs/999/retry"),
    ):
        answer = client.request(method, f"/api/v1{path}", json={} if method == "PATCH" else None)
        assert answer.status_code == 404, path
    assert client.get("/api/v1/audit").json()["items"] == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://testserver:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://testserver"},
    ],
)
def test_without_a_token_a_foreign_page_changes_nothing(client: TestClient, work: Any, headers: dict[str, str]):
    run = work.launch({"evaluations": []})[0]
    for method, path in (("POST", f"/runs/{run}/cancel"), ("PATCH", f"/runs/{run}"), ("DELETE", f"/runs/{run}")):
        answer = client.request(method, f"/api/v1{path}", headers=headers)
        assert answer.status_code == 403 and "another site" in answer.json()["detail"]
    assert client.get(f"/api/v1/runs/{run}", headers=headers).json()["status"] == "queued"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://testserver"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_the_apis_own_pages_and_callers_without_a_browser_may_change(
    client: TestClient, work: Any, headers: dict[str, str]
):
    run = work.launch({"evaluations": []})[0]
    assert client.post(f"/api/v1/runs/{run}/cancel", headers=headers).json()["status"] == "cancelled"


def test_the_audit_comes_in_pages_and_by_caller(guarded: TestClient):
    member = bearer(new_token(guarded, "ada"))
    for name in "abc":
        guarded.post("/api/v1/experiments", json={"name": name}, headers=member)
    first = guarded.get("/api/v1/audit", params={"limit": 2, "caller": "ada"}, headers=member).json()
    query = {"limit": 2, "caller": "ada", "cursor": first["next_cursor"]}
    second = guarded.get("/api/v1/audit", params=query, headers=member).json()
    numbers = [line["id"] for line in first["items"] + second["items"]]
    assert len(numbers) == 3 and numbers == sorted(numbers, reverse=True) and second["next_cursor"] is None


def test_on_loopback_without_a_token_the_caller_is_local(client: TestClient):
    client.post("/api/v1/tokens", json={"name": "n"})
    assert [line["caller"] for line in client.get("/api/v1/audit").json()["items"]] == ["local"]


@pytest.mark.parametrize("given", ["", "two words", "x" * 65, "naïve"])
def test_an_unfit_request_id_is_replaced(client: TestClient, given: str):
    answer = client.get("/healthz", headers={"X-Request-ID": given.encode("latin-1")})
    assert len(answer.headers["x-request-id"]) == 32


def test_another_name_in_the_host_header_is_refused(client: TestClient):
    for host in ("evil.example", "localhost.evil.example", "localhost:8000@evil.example", "[::2]", ""):
        refused = client.get("/api/v1/runs", headers={"Host": host})
        assert refused.status_code == 400
        assert refused.headers["content-type"] == "application/problem+json"
        assert "Host" in refused.json()["detail"] and "x-request-id" in refused.headers
    for host in ("localhost:8000", "LOCALHOST", "127.0.0.1", "[::1]:8000"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_a_star_in_the_allowed_hosts_stands_for_every_name_below(settings: Settings):
    with TestClient(create_app(settings.model_copy(update={"allowed_hosts": "*.example.org"}))) as client:
        for host, status in (("lab.example.org:8000", 200), ("example.org", 400), ("example.org.evil", 400)):
            assert client.get("/healthz", headers={"Host": host}).status_code == status


def test_trusted_hosts_are_those_that_the_settings_name(settings: Settings):
    named = Settings(home=settings.home, api_url="http://lab.example:80", allowed_hosts="api, other.example")
    assert named.trusted_hosts == ["localhost", "127.0.0.1", "[::1]", "lab.example", "api", "other.example"]


def test_who_asks_too_often_has_to_wait(settings: Settings):
    # So slow a rate that no slowness of the machine refills the bucket meanwhile
    with TestClient(create_app(settings.model_copy(update={"rate_limit": 0.001}))) as client:
        answers = [client.get("/healthz") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 429, 429]
        held = answers[-1]
        assert held.status_code == 429 and int(held.headers["retry-after"]) >= 1
        assert all(answer.headers["ratelimit-policy"] == '"address";q=1;w=2' for answer in answers)
        assert all(answer.headers["ratelimit"].startswith('"address";r=0;t=') for answer in answers)
        assert held.headers["content-type"] == "application/problem+json"


def test_a_wrong_token_costs_many_requests(settings: Settings):
    token = Settings(home=settings.home, api_token="secret").api_token
    slow = settings.model_copy(update={"api_token": token, "rate_limit": 0.01 * rate_limit.REFUSED_TOKEN_COST})
    with TestClient(create_app(slow)) as client:
        assert client.get("/api/v1/runs", headers={"Authorization": "Bearer guess"}).status_code == 401
        held = client.get("/api/v1/runs", headers=ADMINISTRATOR)
    assert held.status_code == 429 and int(held.headers["retry-after"]) > 60
