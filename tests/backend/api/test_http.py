"""HTTP as it is specified: HEAD, tags and preconditions, compression, parts of files."""

import base64
import gzip
import hashlib
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert

from densitylab.backend.reconciler import System
from densitylab.backend.shared.artifacts import checked_location
from densitylab.backend.shared.store import run_artifacts
from densitylab.backend.shared.tables import MetricRow

RUNS, CATALOG = "/api/v1/runs", "/api/v1/catalog"
CONTENT = bytes(range(256)) * 20_000


@pytest.fixture
def trained(client: TestClient, work: Any, system: System) -> int:
    """Return a run whose checkpoint was stored with its checksum."""
    (run_id,) = work.launch({"evaluations": []})
    held = work.start(run_id)
    location = checked_location(f"runs/{run_id}/checkpoints/{held.token}-540.pt", CONTENT)
    size = system.store.write(location, CONTENT)
    with system.database.write() as session:
        run_artifacts.move_checkpoint(session, run_id, location=location, size=size, step=540)
    work.end(held)
    work.finish_evaluations(run_id)
    return run_id


def test_head_answers_wherever_get_does(client: TestClient, trained: int):
    paths = ["/healthz", "/metrics", "/openapi.json", "/docs", "/problems/conflict"]
    names = ["", "/metrics", "/log", "/log.txt", "/artifacts", "/artifacts/checkpoint.pt", "/evaluations"]
    paths += [f"{RUNS}/{trained}{name}" for name in names]
    paths += ["/api/v1/catalog", "/api/v1/experiments", "/api/v1/datasets", "/api/v1/system", "/api/v1/runs/999"]
    varying = {"x-request-id"}
    for path in paths:
        head, get = client.head(path), client.get(path)
        assert head.status_code == get.status_code and head.content == b"", path
        if path not in ("/metrics", "/api/v1/system"):  # their content changes
            assert {name: value for name, value in head.headers.items() if name not in varying} == {
                name: value for name, value in get.headers.items() if name not in varying
            }, path
    refused = client.head("/api/v1/events")
    assert refused.status_code == 405 and refused.headers["allow"] == "GET"
    assert client.put(f"{RUNS}/1").headers["allow"] == "DELETE, GET, HEAD, PATCH"


def test_what_the_client_has_already_is_not_sent_again(client: TestClient, trained: int):
    for path in ("/api/v1/catalog", RUNS, f"{RUNS}/{trained}", "/api/v1/experiments", "/api/v1/experiments/1"):
        for accepted in ("identity", "gzip"):
            headers = {"Accept-Encoding": accepted}
            tag = client.get(path, headers=headers).headers["etag"]
            for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
                again = client.get(path, headers={**headers, "If-None-Match": known})
                assert again.status_code == 304 and again.content == b"" and again.headers["etag"], (path, known)
            assert client.head(path, headers={**headers, "If-None-Match": tag}).status_code == 304
            assert client.get(path, headers={**headers, "If-None-Match": '"other"'}).status_code == 200
    tag = client.get(f"{RUNS}/{trained}").headers["etag"]
    client.patch(f"{RUNS}/{trained}", json={"notes": "new"})
    assert client.get(f"{RUNS}/{trained}", headers={"If-None-Match": tag}).status_code == 200


def test_a_change_with_if_match_needs_the_present_tag(client: TestClient, trained: int):
    for path in (f"{RUNS}/{trained}", "/api/v1/experiments/1"):
        old = client.get(path).headers["etag"]
        assert client.patch(path, json={"notes": "mine"}, headers={"If-Match": old}).status_code == 200
        unquoted = client.patch(path, json={"notes": "x"}, headers={"If-Match": client.get(path).headers["etag"][1:-1]})
        assert unquoted.status_code == 412 and "with its quotes" in unquoted.json()["detail"]
        for stale in (old, '"other"', f"W/{client.get(path).headers['etag']}", ""):
            for method in ("PATCH", "DELETE"):
                body = {"notes": "late"} if method == "PATCH" else None
                refused = client.request(method, path, json=body, headers={"If-Match": stale})
                assert refused.status_code == 412, (path, method, stale)
                assert refused.json()["type"] == "/problems/precondition-failed"
        assert client.get(path).json()["notes"] == "mine"
        present = client.get(path, headers={"Accept-Encoding": "gzip"}).headers["etag"]
        assert client.patch(path, json={"notes": "again"}, headers={"If-Match": f'"x", {present}'}).is_success
        assert client.patch(path, json={"notes": "again"}, headers={"If-Match": "*"}).is_success
        assert client.patch(f"{path}9", json={"notes": "x"}, headers={"If-Match": "*"}).status_code == 404
    run = f"{RUNS}/{trained}"
    assert client.delete(run, headers={"If-Match": client.get(run).headers["etag"]}).is_success


def test_a_client_on_this_machine_gets_answers_as_they_are_but_a_proxy_does_not(client: TestClient):
    for address in ("127.0.0.1", "::1"):
        local = TestClient(client.app, client=(address, 50_000), headers={"Accept-Encoding": "gzip"})
        plain, forwarded = local.get(CATALOG), local.get(CATALOG, headers={"X-Forwarded-For": "192.0.2.7"})
        assert "content-encoding" not in plain.headers and plain.headers["vary"] == "Accept-Encoding"
        assert forwarded.headers["content-encoding"] == "gzip" and forwarded.json() == plain.json()
        tag = plain.headers["etag"]
        assert local.get(CATALOG, headers={"If-None-Match": tag}).status_code == 304


def test_only_what_gains_by_it_is_compressed(client: TestClient, trained: int):
    with client.stream("GET", "/api/v1/catalog", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["content-encoding"] == "gzip" and answer.headers["vary"] == "Accept-Encoding"
        compressed = b"".join(answer.iter_raw())
    plain = client.get("/api/v1/catalog", headers={"Accept-Encoding": "identity"})
    assert gzip.decompress(compressed) == plain.content and len(compressed) < len(plain.content) / 3
    assert plain.headers["vary"] == "Accept-Encoding" and "content-encoding" not in plain.headers
    assert answer.headers["etag"] != plain.headers["etag"]  # of another representation
    for path in (f"{RUNS}/{trained}/artifacts/checkpoint.pt", "/healthz"):
        assert "content-encoding" not in client.get(path, headers={"Accept-Encoding": "gzip"}).headers


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, len(CONTENT)),
        ("bytes=-7", len(CONTENT) - 7, len(CONTENT)),
        (f"bytes=5-{10**12}", 5, len(CONTENT)),
        (f"bytes=-{10**12}", 0, len(CONTENT)),
    ],
)
def test_a_part_of_a_file(client: TestClient, trained: int, wanted: str, start: int, end: int):
    path = f"{RUNS}/{trained}/artifacts/checkpoint.pt"
    answer = client.get(path, headers={"Range": wanted})
    assert answer.status_code == 206 and answer.content == CONTENT[start:end]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(CONTENT)}"
    assert answer.headers["content-length"] == str(end - start)


def test_a_file_comes_whole_or_in_parts_with_its_digest(client: TestClient, trained: int):
    path = f"{RUNS}/{trained}/artifacts/checkpoint.pt"
    whole = client.get(path)
    digest = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
    assert whole.content == CONTENT and whole.headers["repr-digest"] == f"sha-256=:{digest}:"
    assert whole.headers["accept-ranges"] == "bytes" and whole.headers["content-length"] == str(len(CONTENT))
    tag = whole.headers["etag"]
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 304
    part = client.get(path, headers={"Range": "bytes=9-", "If-Range": tag})
    assert part.status_code == 206 and part.headers["repr-digest"] == whole.headers["repr-digest"]
    assert client.get(path, headers={"Range": "bytes=9-", "If-Range": '"other"'}).content == CONTENT
    for ignored in ("bytes=0-1,5-9", "lines=1-2", "bytes=9-5", "bytes=-", "bytes=x-"):
        assert client.get(path, headers={"Range": ignored}).status_code == 200, ignored
    for beyond in (f"bytes={len(CONTENT)}-", "bytes=-0"):
        refused = client.get(path, headers={"Range": beyond})
        assert refused.status_code == 416 and refused.headers["content-range"] == f"bytes */{len(CONTENT)}"
        assert refused.json()["type"] == "/problems/range-not-satisfiable"


def test_a_damaged_file_is_not_sent(client: TestClient, trained: int, system: System):
    with system.database.read() as session:
        row = run_artifacts.artifact(session, trained, "checkpoint.pt")
    assert row is not None
    system.store.write(row.location, b"other" * 1000)
    answer = client.get(f"{RUNS}/{trained}/artifacts/checkpoint.pt")
    assert answer.status_code == 409 and answer.json()["type"] == "/problems/damaged-file"


@pytest.mark.parametrize("wanted", [f"bytes=0-{'9' * 5000}", f"bytes={'1' * 5000}-", f"bytes=-{'1' * 5000}"])
def test_a_range_of_absurd_numbers_is_no_range(client: TestClient, trained: int, wanted: str):
    answer = client.get(f"{RUNS}/{trained}/artifacts/checkpoint.pt", headers={"Range": wanted})
    assert answer.status_code == 200 and answer.content == CONTENT


@pytest.mark.parametrize("accepted", ["gzip;q=0", "br, gzip; q=0.0", "GZIP;Q=0"])
def test_gzip_that_is_refused_is_not_sent(client: TestClient, trained: int, accepted: str):
    assert "content-encoding" not in client.get(RUNS, headers={"Accept-Encoding": accepted}).headers


def test_a_table_that_is_streamed_has_no_tag_of_its_beginning(client: TestClient, trained: int, system: System):
    with system.database.write() as session:
        points = [(trained, "loss", step, step / 540, 0.5, 1.0) for step in range(60_000)]
        columns = ("run_id", "name", "step", "epoch", "value", "seconds")
        session.execute(insert(MetricRow), [dict(zip(columns, point, strict=True)) for point in points])
    answer = client.get("/api/v1/curves.arrow")
    assert len(answer.content) > 2**20 and "etag" not in answer.headers


@pytest.mark.parametrize("accepted", ["identity", "gzip"])
def test_304_has_the_tag_of_the_form_that_the_client_has(client: TestClient, trained: int, accepted: str):
    for path in ("/api/v1/catalog", f"{RUNS}/{trained}", f"{RUNS}/{trained}/artifacts/checkpoint.pt"):
        whole = client.get(path, headers={"Accept-Encoding": accepted})
        for method in ("GET", "HEAD"):
            headers = {"Accept-Encoding": accepted, "If-None-Match": f'"other", {whole.headers["etag"]}'}
            again = client.request(method, path, headers=headers)
            assert (again.status_code, again.headers["etag"]) == (304, whole.headers["etag"]), path
            assert again.headers["vary"] == "Accept-Encoding" and "content-encoding" not in again.headers


def test_who_accepts_no_gzip_gets_what_it_has_as_gzip_again(client: TestClient):
    tag = client.get("/api/v1/catalog", headers={"Accept-Encoding": "gzip"}).headers["etag"]
    plain = client.get("/api/v1/catalog", headers={"Accept-Encoding": "identity", "If-None-Match": tag})
    assert plain.status_code == 200 and plain.headers["etag"] != tag


def test_a_part_is_none_of_a_compressed_file(client: TestClient, trained: int):
    path = f"{RUNS}/{trained}/artifacts/checkpoint.pt"
    tag = client.get(path).headers["etag"]
    headers = {"Range": "bytes=9-", "If-Range": f'{tag[:-1]}-gzip"'}
    assert client.get(path, headers=headers).content == CONTENT


def test_the_answer_to_a_change_has_the_tag_for_the_next_one(client: TestClient, trained: int):
    for path in (f"{RUNS}/{trained}", "/api/v1/experiments/1"):
        tag = client.get(path).headers["etag"]
        for notes in ("a" * 2000, "b", "b"):
            changed = client.patch(path, json={"notes": notes}, headers={"If-Match": tag})
            assert changed.status_code == 200, (path, notes)
            tag = changed.headers["etag"]
            assert client.get(path, headers={"If-None-Match": tag}).status_code == 304
        assert client.patch(path, json={"notes": "c"}, headers={"If-None-Match": tag}).status_code == 200


def test_several_lines_of_tags_are_one_list(client: TestClient, trained: int):
    for path in (f"{RUNS}/{trained}", f"{RUNS}/{trained}/artifacts/checkpoint.pt"):
        tag = client.get(path).headers["etag"]
        for lines in (['"other"', tag], [tag, '"other"'], ['"other"', f'"x", {tag}', '"y"']):
            sent = [("If-None-Match", line) for line in lines]
            assert client.get(path, headers=httpx.Headers(sent)).status_code == 304, (path, lines)
        assert client.get(path, headers=httpx.Headers([("If-None-Match", '"x"')] * 2)).status_code == 200
    path = f"{RUNS}/{trained}"
    for lines, status in ((['"other"', client.get(path).headers["etag"]], 200), (['"other"', '"x"'], 412)):
        sent = httpx.Headers([("If-Match", line) for line in lines])
        assert client.patch(path, json={"notes": "new"}, headers=sent).status_code == status
