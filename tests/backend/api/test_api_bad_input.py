"""Every invalid request gives a problem with the right status that names the field."""

import json
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient

JSON = {"Content-Type": "application/json"}
LAUNCH = "/api/v1/experiments"


def problem(response: Any, status: int) -> list[str]:
    """Return the pointers of a problem with that status."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    content = response.json()
    assert content["status"] == status and content["title"] and content["detail"]
    return [error["pointer"] for error in content["errors"]]


def test_no_refused_launch_leaves_anything_behind(client: TestClient):
    for body in ({"spec": {"lambda_": -1}}, {"spec": {}, "sweep": {"seed": [0, 1, "x"]}}, {"name": "\x00"}):
        problem(client.post(LAUNCH, json=body), 422)
    assert client.get(LAUNCH).json()["items"] == []
    assert client.get("/api/v1/runs").json()["items"] == []
    assert client.get("/readyz").json()["queued"] == 0


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        ({"unknown": 1}, "/spec/unknown"),
        ({"lambda_": -0.1}, "/spec/lambda_"),
        ({"lambda_": "much"}, "/spec/lambda_"),
        ({"lambda_": 10**400}, "/spec/lambda_"),
        ({"epochs": 0}, "/spec/epochs"),
        ({"epochs": 10**9}, "/spec/epochs"),
        ({"epochs": 1.5}, "/spec/epochs"),
        ({"batch_size": 0}, "/spec/batch_size"),
        ({"seed": -1}, "/spec/seed"),
        ({"seed": True}, "/spec/seed"),
        ({"seed": "1"}, "/spec/seed"),
        ({"seed": 2**64}, "/spec/seed"),
        ({"train_samples": 10**6}, "/spec/train_samples"),
        ({"precision": "float8"}, "/spec/precision"),
        ({"compile": True}, "/spec/compile"),
        ({"sampling": "group_balanced"}, "/spec/sampling"),
        ({"early_stop": {"patience": 0}}, "/spec/early_stop/patience"),
        ({"device": "tpu"}, "/spec/device"),
        ({"model": {"key": "nope"}}, "/spec/model/key"),
        ({"model": {"key": "mlp\x00"}}, "/spec/model/key"),
        ({"model": {"key": "mlp", "params": {"depth": 3}}}, "/spec/model/params/depth"),
        ({"model": {"key": "mlp", "params": {"hidden": 2**70}}}, "/spec/model/params/hidden"),
        ({"model": {"key": "mlp", "params": {"hidden": True}}}, "/spec/model/params/hidden"),
        (
            {"regularizer": {"key": "marginal_density", "params": {"estimator": "random_projection", "p_norm": "1"}}},
            "/spec/regularizer/params/p_norm",
        ),
        (
            {"regularizer": {"key": "marginal_density", "params": {"estimator": "random_projection", "power": 1}}},
            "/spec/regularizer/params/power",
        ),
        ({"evaluations": [{"key": "pgd_linf", "params": {"epsilons": []}}]}, "/spec/evaluations/0/params/epsilons"),
        ({"evaluations": [{"key": "accuracy"}, {"key": "accuracy"}]}, "/spec/evaluations/1/name"),
        (
            {"evaluations": [{"key": "leakage", "params": {"attribution": {"key": "nope"}}}]},
            "/spec/evaluations/0/params/attribution/key",
        ),
        ({"evaluations": [{"key": "groups"}]}, "/spec/evaluations/0/key"),  # the default data set has none
        ({"optimizer": {"key": "adam", "params": {"lr": 0}}}, "/spec/optimizer/params/lr"),
    ],
)
def test_a_wrong_field_of_a_spec_is_named(client: TestClient, spec: dict[str, Any], pointer: str):
    assert problem(client.post(LAUNCH, json={"spec": spec}), 422) == [pointer]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(client: TestClient, number: str):
    body = '{"spec": {"lambda_": N, "optimizer": {"key": "adam", "params": {"lr": N}}}}'.replace("N", number)
    assert problem(client.post(LAUNCH, content=body, headers=JSON), 422) == ["/spec/lambda_"]
    body = '{"spec": {"optimizer": {"key": "adam", "params": {"lr": N}}}}'.replace("N", number)
    assert problem(client.post(LAUNCH, content=body, headers=JSON), 422) == ["/spec/optimizer/params/lr"]
    body = '{"sweep": {"lambda_": [0, N]}}'.replace("N", number)
    assert problem(client.post(LAUNCH, content=body, headers=JSON), 422) == ["/sweep/lambda_/1"]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"name": ""}, ["/name"]),
        ({"name": "   "}, ["/name"]),
        ({"name": "\t\n"}, ["/name"]),
        ({"name": "\u00a0\u3000"}, ["/name"]),
        ({"name": "x" * 201}, ["/name"]),
        ({"name": "a\x00b"}, ["/name"]),
        ({"notes": "\x00"}, ["/notes"]),
        ({"tags": ["ok", "not ok"]}, ["/tags/1"]),
        ({"tags": ["é", " ", "", "-a", "a/b"]}, ["/tags/1", "/tags/2", "/tags/3", "/tags/4"]),
        ({"surprise": 1}, ["/surprise"]),
        ({"spec": 3}, ["/spec"]),
        ({"sweep": {"seed": list(range(300)), "lambda_": [0, 1]}}, ["/sweep"]),
        ({"sweep": {f"a{i}": [0] * 10 for i in range(5000)}}, ["/sweep"]),
        ({"sweep": {"seed": []}}, ["/sweep/seed"]),
        ({"sweep": {"model.params.hidden": [16, 0]}}, ["/sweep/model.params.hidden/1"]),
        ({"sweep": {"nowhere": [1]}}, ["/sweep/nowhere/0"]),
        ([], [""]),
        ("text", [""]),
        (None, [""]),
    ],
)
def test_a_wrong_field_of_a_launch_is_named(client: TestClient, body: Any, pointers: list[str]):
    assert problem(client.post(LAUNCH, content=json.dumps(body), headers=JSON), 422) == pointers


@pytest.mark.parametrize("where", ["name", "notes"])
def test_unpaired_surrogates_are_refused(client: TestClient, where: str):
    body = json.dumps({where: "\ud83d"})
    assert problem(client.post(LAUNCH, content=body, headers=JSON), 422) == [f"/{where}"]


def test_hostile_names_of_fields_are_refused_and_printable(client: TestClient):
    for body in (
        '{"spec": {"\\ud83d": 1}}',
        '{"spec": {"a\\u0000": 1}}',
        '{"sweep": {"\\ud83d": [1]}}',
        '{"spec": {"model": {"key": "mlp", "params": {"\\ud83d": 1}}}}',
        '{"\\ud83d": 1}',
    ):
        problem(client.post(LAUNCH, content=body, headers=JSON), 422)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"\xff\xfe",
        b'{"name": "\xff"}',
        b'{"name": 1' + b"0" * 5000 + b"}",
        b"[" * 100_000,
        b'{"spec":' + b'{"a":' * 100 + b"1" + b"}" * 101,
    ],
)
def test_what_is_not_json_is_400(client: TestClient, body: bytes):
    if body == b"":
        problem(client.post(LAUNCH, content=body, headers=JSON), 422)
    else:
        problem(client.post(LAUNCH, content=body, headers=JSON), 400)


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        (LAUNCH, '{"name": "a", "name": "a"}', "/name"),
        (LAUNCH, '{"spec": {"seed": 1, "epochs": 2, "seed": 2}}', "/spec/seed"),
        (LAUNCH, '{"sweep": {"seed": [1], "seed": [1, 2]}}', "/sweep/seed"),
        (
            LAUNCH,
            '{"spec": {"evaluations": [{}, {"key": "a", "key": "b"}]}}',
            "/spec/evaluations/1/key",
        ),
        (f"{LAUNCH}/preflight", '{"a/b": 1, "a/b": 2}', "/a~1b"),
        ("/api/v1/bulk/runs", '{"action": "delete", "runs": [1], "runs": [2]}', "/runs"),
        ("/api/v1/webhooks", '{"url": "http://a.org/", "\\u0075rl": "http://b.org/"}', "/url"),
    ],
)
def test_a_key_that_comes_twice_is_named(client: TestClient, path: str, body: str, pointer: str):
    refused = client.post(path, content=body, headers=JSON)
    assert problem(refused, 422) == [pointer]
    assert "comes twice in one object" in refused.json()["detail"]


def test_a_key_that_comes_twice_among_very_many_is_found_at_once(client: TestClient):
    names = [*range(70_000), 69_999]
    body = "{" + ", ".join(f'"{name}": 0' for name in names) + "}"
    began = time.monotonic()
    assert problem(client.post(LAUNCH, content=body, headers=JSON), 422) == ["/69999"]
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_body_in_another_encoding_is_read_as_exactly(client: TestClient, encoding: str):
    for spec, pointer in (('{"seed": 1, "seed": 2}', "/spec/seed"), ('{"lambda_": 1e-400}', "")):
        body = f'{{"spec": {spec}}}'.encode(encoding)
        assert problem(client.post(LAUNCH, content=body, headers=JSON), 422) == [pointer]


@pytest.mark.parametrize(
    ("path", "file", "field"),
    [
        ("registrations/archive", "archive", "label"),
        ("models/file", "file", "source"),
        ("models/inspect", "file", "dataset"),
    ],
)
def test_a_key_that_comes_twice_in_the_field_of_a_form_is_named(client: TestClient, path: str, file: str, field: str):
    form = {"data": {"request": f'{{"{field}": "a", "{field}": "b"}}'}, "files": {file: ("a.zip", b"")}}
    assert problem(client.post(f"/api/v1/{path}", **form), 422) == [f"/request/{field}"]


def test_why_a_body_cannot_be_read_is_said(client: TestClient):
    for body, reason in (
        (b'{"priority": 1' + b"0" * 5000 + b"}", "a whole number has more than 4,300 digits"),
        (b'{"name": "\xff"}', "no UTF-8 from byte 10 on"),
        (b'{"name": }', "Expecting value at character 9"),
    ):
        refused = client.post(LAUNCH, content=body, headers=JSON)
        problem(refused, 400)
        assert refused.json()["detail"].endswith(reason)


@pytest.mark.parametrize("name", ["lambda_min", "lambda_max"])
def test_no_number_is_no_bound(client: TestClient, name: str):
    for text in ("nan", "NaN", "-nan"):
        refused = client.get(f"/api/v1/runs?{name}={text}")
        assert problem(refused, 422) == [f"/query/{name}"]
        assert refused.json()["errors"][0]["detail"] == f'expected a finite number; got "{text}"'


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("a..org", "a..org is no name of a host: expected 1 to 63 characters between two dots"),
        ("a" * 64 + ".org", f"{'a' * 64}.org is no name of a host: expected 1 to 63 characters between two dots"),
        ("xn--nothing.invalid", "xn--nothing.invalid has no address"),
        ("münchen.example", "of ASCII characters without spaces (a host with other letters in its form xn--...)"),
    ],
)
def test_a_host_that_is_none_is_told_from_one_without_an_address(client: TestClient, host: str, reason: str):
    refused = client.post("/api/v1/webhooks", json={"url": f"http://{host}/"})
    assert problem(refused, 422) == ["/url"]
    assert reason in refused.json()["detail"] and "Errno" not in refused.json()["detail"]


def test_brackets_inside_texts_do_not_count_as_nesting(client: TestClient):
    answer = client.post(LAUNCH, json={"notes": '[{"' * 1000, "spec": {"epochs": 1}})
    assert answer.status_code == 202


def test_a_body_over_a_mebibyte_is_413_announced_or_not(client: TestClient):
    large = json.dumps({"notes": "x" * 2**20}).encode()
    assert problem(client.post(LAUNCH, content=large, headers=JSON), 413) == []
    chunks = (large[start : start + 65536] for start in range(0, len(large), 65536))
    assert problem(client.post(LAUNCH, content=chunks, headers=JSON), 413) == []
    assert client.post(LAUNCH, json={"notes": "x" * 20_000}).status_code == 202


def test_a_body_that_does_not_say_it_is_json_is_refused(client: TestClient):
    for path in (LAUNCH, "/api/v1/attributions", "/api/v1/webhooks", "/api/v1/bulk/runs"):
        for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "multipart/form-data; boundary=x"}, {}):
            answer = client.post(path, content=b"{}", headers=headers)
            problem(answer, 415)
            assert "application/json" in answer.json()["detail"] and answer.headers["accept"] == "application/json"
    assert client.post(LAUNCH, content=b"{}", headers={"Content-Type": "application/problem+json"}).status_code == 202
    assert client.patch(f"{LAUNCH}/1", content=b"{}", headers={"Content-Type": "Application/JSON; x=y"}).is_success


def test_a_form_is_read_where_one_is_expected_and_an_optional_body_needs_no_type(client: TestClient):
    answer = client.post("/api/v1/registrations/archive", json={})
    problem(answer, 415)
    assert "multipart/form-data" in answer.json()["detail"]
    assert client.post("/api/v1/datasets/blockmnist/prepare").status_code == 202
    assert client.post("/api/v1/datasets/blockmnist/prepare", content=b"{}").status_code == 415


@pytest.mark.parametrize("key", [b"\xff", b"a b", b"x" * 201])
def test_odd_idempotency_keys_are_refused(client: TestClient, key: bytes):
    answer = client.post(LAUNCH, json={}, headers={"Idempotency-Key": key})
    assert problem(answer, 422) == ["/header/Idempotency-Key"]


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/api/v1/runs/99", "/path/run_id"),
        ("/api/v1/runs/99/metrics", "/path/run_id"),
        ("/api/v1/runs/99/log", "/path/run_id"),
        ("/api/v1/runs/99/artifacts", "/path/run_id"),
        ("/api/v1/runs/99/artifacts/checkpoint.pt", "/path/run_id"),
        ("/api/v1/runs/99/evaluations", "/path/run_id"),
        ("/api/v1/metrics?run=99", "/query/run/0"),
        ("/api/v1/experiments/99", "/path/experiment_id"),
        ("/api/v1/tasks/99", "/path/task_id"),
        ("/api/v1/attributions/99", "/path/attribution_id"),
        ("/api/v1/attributions/99/arrays", "/path/attribution_id"),
        ("/api/v1/datasets/nope", "/path/key"),
        ("/api/v1/datasets/nope/samples", "/path/key"),
    ],
)
def test_unknown_ids_are_404(client: TestClient, path: str, pointer: str):
    assert problem(client.get(path), 404) == [pointer]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/api/v1/runs/99"),
        ("DELETE", "/api/v1/runs/99"),
        ("POST", "/api/v1/runs/99/cancel"),
        ("POST", "/api/v1/runs/99/retry"),
        ("POST", "/api/v1/runs/99/evaluations"),
        ("PATCH", "/api/v1/experiments/99"),
        ("DELETE", "/api/v1/experiments/99"),
        ("POST", "/api/v1/tasks/99/cancel"),
        ("POST", "/api/v1/datasets/nope/prepare"),
    ],
)
def test_unknown_ids_cannot_be_changed_either(client: TestClient, method: str, path: str):
    body = {"key": "accuracy"} if path.endswith("evaluations") else {}
    with_body = {"json": body} if method in ("PATCH", "POST") else {}
    problem(client.request(method, path, **with_body), 404)


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5", str(2**31), str(2**64), "9" * 5000, "%00"])
def test_ids_that_can_be_none_are_422(client: TestClient, number: str):
    assert problem(client.get(f"/api/v1/runs/{number}"), 422) == ["/path/run_id"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/query/limit"),
        ("limit=99999999999999999999", "/query/limit"),
        ("sort=colour", "/query/sort"),
        ("sort=results.a'b", "/query/sort"),
        ("status=lost", "/query/status/0"),
        ("tag=%00", "/query/tag/0"),
        ("q=%00", "/query/q"),
        ("experiment=0", "/query/experiment/0"),
        ("cursor=%FF", "/query/cursor"),
        ("cursor=abc", "/query/cursor"),
        ("cursor=WyItaWQiLDEsMl0&sort=status", "/query/cursor"),  # of another order
        ("cursor=WyItaWQiLCJ4IiwyXQ", "/query/cursor"),  # ["-id", "x", 2]
        ("cursor=WyItaWQiLDEsOTk5OTk5OTk5OTk5OTk5XQ", "/query/cursor"),
        ("cursor=W10", "/query/cursor"),
    ],
)
def test_a_wrong_query_is_named(client: TestClient, query: str, pointer: str):
    assert problem(client.get(f"/api/v1/runs?{query}"), 422) == [pointer]


def test_a_wrong_method_names_the_right_ones(client: TestClient):
    answer = client.put("/api/v1/runs/1")
    assert problem(answer, 405) == []
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PATCH"
    assert client.put("/api/v1/experiments").headers["allow"] == "GET, HEAD, POST"
    assert client.post("/healthz").headers["allow"] == "GET, HEAD"
    for resource, word, allowed in (
        ("experiments", "preflight", "POST"),
        ("attributions", "preflight", "POST"),
        ("runs", "fields", "GET, HEAD"),
    ):
        for method in {"GET", "PATCH", "DELETE", "PUT", "OPTIONS"}.difference(allowed.split(", ")):
            answer = client.request(method, f"/api/v1/{resource}/{word}", headers={"Content-Type": "text/plain"})
            assert problem(answer, 405) == [] and answer.headers["allow"] == allowed, (method, word)


def test_a_path_that_is_none_is_a_problem_too(client: TestClient):
    problem(client.get("/api/v1/nothing"), 404)
    problem(client.get("/"), 404)
