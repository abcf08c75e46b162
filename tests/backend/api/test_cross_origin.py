"""Pages of other origins: CORS for those that a setting names, and tokens for EventSource."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from densitylab.backend.api import stream_tokens
from densitylab.backend.api.app import create_app
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.settings import Settings
from tests.backend.shared.test_events import Server

ORIGIN = "https://dashboard.example.org"
ADMINISTRATOR = {"Authorization": "Bearer secret"}
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


def of(origin: str) -> dict[str, str]:
    return {"Origin": origin, "Sec-Fetch-Site": "cross-site"}


@pytest.fixture(params=[True, False], ids=["token", "no token"])
def open_to(settings: Settings, request: pytest.FixtureRequest) -> Iterator[TestClient]:
    token = Settings(home=settings.home, api_token="secret").api_token if request.param else None
    changed = {"cors_origins": f"{ORIGIN},http://localhost:3000", "api_token": token, "rate_limit": 400.0}
    with TestClient(create_app(settings.model_copy(update=changed))) as client:
        yield client


def test_pages_of_named_origins_may_read_and_change(open_to: TestClient):
    for origin in (ORIGIN, "http://localhost:3000"):
        asked = open_to.options("/api/v1/experiments", headers={**of(origin), **PREFLIGHT})
        assert asked.status_code == 200 and asked.headers["access-control-allow-origin"] == origin
        assert "access-control-allow-credentials" not in asked.headers
        launched = open_to.post("/api/v1/experiments", json={}, headers={**of(origin), **ADMINISTRATOR})
        assert launched.status_code == 202 and launched.headers["access-control-allow-origin"] == origin
        readable = launched.headers["access-control-expose-headers"]
        assert {"Location", "ETag", "RateLimit", "Retry-After", "Repr-Digest"} <= set(readable.split(", "))
        wrong = open_to.get("/api/v1/runs/99", headers={**of(origin), **ADMINISTRATOR})
        assert wrong.status_code == 404 and wrong.headers["access-control-allow-origin"] == origin


@pytest.mark.few(1)
def test_pages_of_other_origins_may_not(open_to: TestClient, client: TestClient):
    for origin in ("https://evil.example", "null", f"{ORIGIN}.evil.example", "http://localhost:3001"):
        for server in (open_to, client):
            asked = server.options("/api/v1/experiments", headers={**of(origin), **PREFLIGHT})
            assert asked.status_code >= 400 and "access-control-allow-origin" not in asked.headers
            read = server.get("/api/v1/runs", headers={**of(origin), **ADMINISTRATOR})
            assert "access-control-allow-origin" not in read.headers
        assert client.post("/api/v1/experiments", json={}, headers=of(origin)).status_code == 403


@pytest.mark.parametrize(
    "origins", ["*", "https://a.example,*", "dashboard.example.org", "https://a.example/path", "https://*.example.org"]
)
def test_only_named_origins_are_a_setting(settings: Settings, origins: str):
    with pytest.raises(ValueError, match=r"expected (named )?origins"):
        Settings(home=settings.home, cors_origins=origins)


def test_a_stream_token_is_of_its_caller_and_expires():
    key, caller = b"secret", Caller("ada", 7)
    token = stream_tokens.create(key, caller, 1000)
    assert stream_tokens.check(key, token, 999.9) == 7
    assert stream_tokens.check(key, stream_tokens.create(key, Caller("administrator"), 1000), 0) == 0
    assert stream_tokens.check(key, token, 1000) is None
    changed = [token.replace("-7-", "-8-"), token.replace("-1000-", "-9000-"), token[:-1] + "x", token + "0", ""]
    assert [stream_tokens.check(key, other, 0) for other in changed] == [None] * len(changed)
    assert stream_tokens.check(b"another", token, 0) is None


def test_a_stream_token_opens_event_streams_alone(settings: Settings, work: Any, capfd: pytest.CaptureFixture[str]):
    server = Server(settings, DENSITYLAB_API_TOKEN="secret", DENSITYLAB_LOG_FORMAT="json")
    try:
        with httpx.Client(base_url=server.url, timeout=20) as client:
            made = client.post("/tokens", json={"name": "ada", "read_only": True}, headers=ADMINISTRATOR).json()
            own = {"Authorization": f"Bearer {made['token']}"}
            answer = client.post("/stream-tokens", headers=own)
            assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
            token = {"stream_token": answer.json()["token"]}
            (run,) = work.launch({"evaluations": []})
            work.train(run)
            for path in ("/runs", "/events/x", "/stream-tokens", f"/runs/{run}"):
                assert client.get(path, params=token).status_code == 401, path
            for method in ("POST", "DELETE", "HEAD"):
                assert client.request(method, "/events", params=token).status_code == 401, method
            assert client.get("/events", params={"stream_token": made["token"]}).status_code == 401
            assert client.get("/events", params=token, headers={"Authorization": "Bearer x"}).status_code == 401
            ended = threading.Event()
            for path in ("/events", f"/runs/{run}/events"):
                with client.stream("GET", path, params={**token, "after": 0}) as stream:
                    assert next(line for line in stream.iter_lines() if line.startswith("id:")) == "id: 1"
            with client.stream("GET", "/events", params=token, headers={"Last-Event-ID": "1"}) as stream:
                assert next(line for line in stream.iter_lines() if line.startswith("id:")) == "id: 2"

            def follow() -> None:
                with client.stream("GET", "/events", params=token) as stream:
                    for _ in stream.iter_lines():
                        pass
                ended.set()

            threading.Thread(target=follow, daemon=True).start()
            time.sleep(1)
            client.delete(f"/tokens/{made['id']}", headers=ADMINISTRATOR)
            assert ended.wait(20)
            assert client.get("/events", params=token).status_code == 401
    finally:
        server.process.terminate()
        server.process.wait()
    written = capfd.readouterr()
    assert "/api/v1/events" in written.out + written.err
    assert token["stream_token"] not in written.out + written.err
