"""No query parameter is ignored: an unknown one, or one too many, is refused and named."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient


def problem(answer: Any) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    return {item["pointer"]: item["detail"] for item in answer.json()["errors"]}


def test_an_unknown_parameter_is_named_with_the_one_that_was_meant(client: TestClient):
    assert problem(client.get("/api/v1/runs?statsu=failed")) == {
        "/query/statsu": "there is no parameter of this name; did you mean status?"
    }
    assert problem(client.get("/api/v1/runs.csv?modle=cnn&zzz=1")) == {
        "/query/modle": "there is no parameter of this name; did you mean model?",
        "/query/zzz": "there is no parameter of this name",
    }
    assert problem(client.post("/api/v1/experiments?dryrun=true", json={})) == {
        "/query/dryrun": "there is no parameter of this name; did you mean dry_run?"
    }
    assert problem(client.get("/api/v1/runs?%00%ff=1")).keys() == {"/query/\N{REPLACEMENT CHARACTER}\ufffd"}


def test_a_parameter_that_is_taken_once_is_refused_twice(client: TestClient):
    assert problem(client.get("/api/v1/runs?limit=1&limit=2&sort=id&sort=-id")) == {
        "/query/limit": "expected one value; got 2",
        "/query/sort": "expected one value; got 2",
    }


def test_every_operation_refuses_unknown_parameters(app: FastAPI, client: TestClient):
    for path, operations in app.openapi()["paths"].items():
        for method in operations:
            address = path.replace("{", "").replace("}", "")
            answer = client.request(method, f"{address}?nonsense=1")
            assert "/query/nonsense" in problem(answer), f"{method} {path}"


@pytest.mark.parametrize(
    "request_",
    [
        "POST /api/v1/experiments?dry_run=true",
        "GET /api/v1/runs?format=csv",
        "GET /api/v1/metrics?run=1&run=1&names=loss&names=penalty",
    ],
)
def test_declared_parameters_are_taken_deprecated_ones_too(client: TestClient, work: Any, request_: str):
    work.launch()
    method, path = request_.split(" ")
    assert client.request(method, path, json={}).status_code == 200
