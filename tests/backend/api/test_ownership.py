"""Tokens, owners, and what each caller may change."""

import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr

from densitylab.backend.api.app import create_app
from densitylab.backend.api.authorization import RULES
from densitylab.backend.reconciler import System
from densitylab.backend.shared.callers import Caller
from densitylab.backend.shared.contracts import TaskKind
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import registered_datasets, tasks, webhooks
from tests.backend.api.test_access import ADMINISTRATOR, bearer, new_token
from tests.backend.api.test_api_init_from import trained
from tests.backend.api.test_api_models import REQUEST as IMPORT
from tests.backend.api.test_api_models import inspected
from tests.backend.api.test_api_registrations import FACTS
from tests.backend.shared.test_events import Server


def guarded_app(settings: Settings, **more: Any) -> FastAPI:
    token = Settings(home=settings.home, api_token="secret").api_token
    return create_app(settings.model_copy(update={"api_token": token, "webhook_private": True, **more}))


@pytest.fixture
def guarded(settings: Settings) -> Iterator[TestClient]:
    """Return a client of the app with DENSITYLAB_API_TOKEN set."""
    with TestClient(guarded_app(settings)) as client:
        yield client


@pytest.fixture
def separate(settings: Settings) -> Iterator[TestClient]:
    """Likewise, without DENSITYLAB_SHARED_RUNS."""
    with TestClient(guarded_app(settings, shared_runs=False)) as client:
        yield client


def launch(client: TestClient, headers: dict[str, str], **more: Any) -> dict[str, Any]:
    body = {"name": "e", "spec": {"evaluations": []}, **more}
    answer = client.post("/api/v1/experiments", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer.json()


def test_only_the_administrator_manages_tokens(guarded: TestClient):
    member = bearer(new_token(guarded, "ada"))
    for method, path in (("GET", "/tokens"), ("POST", "/tokens"), ("DELETE", "/tokens/1")):
        answer = guarded.request(method, f"/api/v1{path}", json={"name": "eve"}, headers=member)
        assert answer.status_code == 403 and "only the administrator" in answer.json()["detail"]
        assert guarded.request(method, f"/api/v1{path}", json={"name": "eve"}, headers=ADMINISTRATOR).is_success


@pytest.mark.parametrize("name", ["administrator", "local", " Local ", "ADMINISTRATOR", "ａdministrator"])
def test_names_that_mean_somebody_else_are_reserved(guarded: TestClient, name: str):
    answer = guarded.post("/api/v1/tokens", json={"name": name}, headers=ADMINISTRATOR)
    assert answer.status_code == 409 and answer.json()["errors"][0]["pointer"] == "/name"
    assert "is reserved" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["ada", "Ada", " ada", "ADA ", "ａｄａ"])
def test_a_name_is_given_once_even_if_revoked(guarded: TestClient, name: str):
    first = new_token(guarded, "ada")
    guarded.delete(f"/api/v1/tokens/{first['id']}", headers=ADMINISTRATOR).raise_for_status()
    answer = guarded.post("/api/v1/tokens", json={"name": name}, headers=ADMINISTRATOR)
    assert answer.status_code == 409 and answer.json()["errors"][0]["pointer"] == "/name"


def test_of_two_requests_for_one_name_one_is_refused(guarded: TestClient):
    statuses = []

    def create() -> None:
        statuses.append(guarded.post("/api/v1/tokens", json={"name": "twin"}, headers=ADMINISTRATOR).status_code)

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201, 409, 409, 409]


def test_a_read_only_token_sees_neither_audit_nor_webhooks_nor_tokens(guarded: TestClient):
    guarded.post("/api/v1/webhooks", json={"url": "http://127.0.0.1/x"}, headers=ADMINISTRATOR).raise_for_status()
    reader = bearer(new_token(guarded, "reader", read_only=True))
    for path in ("/audit", "/webhooks", "/webhooks/1/deliveries", "/tokens"):
        assert guarded.get(f"/api/v1{path}", headers=reader).status_code == 403, path
    assert guarded.get("/api/v1/runs", headers=reader).status_code == 200


def test_an_audit_line_has_the_number_of_the_token(guarded: TestClient):
    ada = new_token(guarded, "ada")
    launch(guarded, bearer(ada))
    lines = guarded.get("/api/v1/audit", headers=bearer(ada)).json()["items"]
    assert [(line["caller"], line["token"]) for line in lines] == [("ada", ada["id"]), ("administrator", None)]


def test_a_run_names_its_owner_and_can_be_filtered_by_it(guarded: TestClient):
    ada, bob = (bearer(new_token(guarded, name)) for name in ("ada", "bob"))
    first, second = launch(guarded, ada), launch(guarded, bob)
    added = guarded.post(f"/api/v1/experiments/{first['id']}/runs", json={"seeds": [5]}, headers=bob).json()
    owners = {run["id"]: run["owner"] for run in guarded.get("/api/v1/runs", headers=ada).json()["items"]}
    assert owners == {first["runs"][0]: "ada", second["runs"][0]: "bob", added["added"][0]: "bob"}
    assert (first["owner"], second["owner"]) == ("ada", "bob")
    for path in ("/runs", "/experiments"):
        listed = guarded.get(f"/api/v1{path}", params={"owner": "ada"}, headers=bob).json()["items"]
        assert [item["owner"] for item in listed] == ["ada"]
    assert guarded.get(f"/api/v1/runs/{added['added'][0]}", headers=ada).json()["owner"] == "bob"


def test_without_a_token_the_owner_is_local(client: TestClient):
    assert client.post("/api/v1/experiments", json={"name": "e"}).json()["owner"] == "local"


def test_shared_runs_may_be_changed_by_every_full_token(guarded: TestClient):
    ada, bob = (bearer(new_token(guarded, name)) for name in ("ada", "bob"))
    run = launch(guarded, ada)["runs"][0]
    assert guarded.patch(f"/api/v1/runs/{run}", json={"notes": "n"}, headers=bob).status_code == 200
    assert guarded.post(f"/api/v1/runs/{run}/cancel", headers=bob).status_code == 202


def make_everything(client: TestClient, system: System, headers: dict[str, str], token: int) -> dict[str, Any]:
    """Make one thing of every kind that has an owner; return the value of each path parameter."""
    experiment = launch(client, headers)
    study = client.post("/api/v1/studies", json={"key": "ood", "size": "hours"}, headers=headers).json()
    hook = client.post("/api/v1/webhooks", json={"url": "http://127.0.0.1/x"}, headers=headers).json()
    preparation = client.post("/api/v1/datasets/mnist/prepare", headers=headers).json()
    with system.database.write() as session:
        owner = Caller("ada", token)
        registration = tasks.create(session, TaskKind.REGISTER, payload={"key": "birds"}, owner=owner)
        registered_datasets.add(session, "birds", label="Birds", summary="Own.", facts=FACTS, task_id=registration.id)
    return {
        "run_id": experiment["runs"][0],
        "experiment_id": experiment["id"],
        "study_id": study["id"],
        "webhook_id": hook["id"],
        "task_id": preparation["id"],
        "key": "birds",
    }


def changes(client: TestClient) -> list[tuple[str, str]]:
    """Return every method and path with which a request changes something that the path names."""
    return [
        (method.upper(), path)
        for path, operations in client.get("/openapi.json").json()["paths"].items()
        # tokens are the administrator's; and whoever needs a data set may prepare it
        if "{" in path and "{token_id}" not in path and not path.endswith("/prepare")
        for method in operations
        if method != "get"
    ]


def test_every_change_of_what_another_token_made_is_refused(separate: TestClient, system: System):
    ada, bob = new_token(separate, "ada"), new_token(separate, "bob")
    made = make_everything(separate, system, bearer(ada), ada["id"])
    assert len(changes(separate)) >= 10 and {rule.parameter for rule in RULES} == made.keys()
    for method, path in changes(separate):
        answer = separate.request(method, path.format(**made), json={}, headers=bearer(bob))
        assert answer.status_code == 403, (method, path, answer.text)
        assert "belongs to somebody else" in answer.json()["detail"]
    for method, path in changes(separate):
        answer = separate.request(method, path.format(**made), json={}, headers=bearer(ada))
        assert answer.status_code != 403, (method, path, answer.text)


def test_the_administrator_may_change_everything(separate: TestClient, system: System):
    ada = new_token(separate, "ada")
    made = make_everything(separate, system, bearer(ada), ada["id"])
    for path in (f"/runs/{made['run_id']}/cancel", f"/tasks/{made['task_id']}/cancel"):
        assert separate.post(f"/api/v1{path}", headers=ADMINISTRATOR).status_code == 202
    for path in (f"/webhooks/{made['webhook_id']}", f"/experiments/{made['experiment_id']}", "/datasets/birds"):
        assert separate.delete(f"/api/v1{path}", headers=ADMINISTRATOR).status_code == 200, path


@pytest.mark.parametrize("action", ["cancel", "retry", "archive", "unarchive", "delete"])
@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.few(4)
def test_of_many_runs_only_ones_own_are_changed(separate: TestClient, action: str, dry_run: bool):
    ada, bob = (bearer(new_token(separate, name)) for name in ("ada", "bob"))
    theirs, own = launch(separate, ada)["runs"][0], launch(separate, bob)["runs"][0]
    if action in ("retry", "delete"):
        for run in (theirs, own):
            separate.post(f"/api/v1/runs/{run}/cancel", headers=ADMINISTRATOR).raise_for_status()
    body = {"action": action, "runs": [theirs, own], "dry_run": dry_run}
    outcomes = separate.post("/api/v1/bulk/runs", json=body, headers=bob).json()["outcomes"]
    assert [(item["run"], item["done"]) for item in outcomes] == [(theirs, False), (own, True)]
    assert "belongs to somebody else" in outcomes[0]["detail"]


def test_no_run_is_logged_into_or_gets_weights_from_another_token(separate: TestClient):
    ada, bob = (bearer(new_token(separate, name)) for name in ("ada", "bob"))
    logged = {"dataset": {"key": "blockmnist"}}
    run = separate.post("/api/v1/runs", json=logged, headers=ada).json()
    into = logged | {"experiment": run["experiment"]}
    weights = {**logged, "model": {"key": "torchvision", "params": {"pretrained": True}}}
    for path, body in (
        ("/runs", into),
        ("/models", weights | {"experiment": run["experiment"]}),
        ("/models", weights | {"run": run["id"]}),
        (f"/experiments/{run['experiment']}/runs", {"seeds": [1]}),
    ):
        refused = separate.post(f"/api/v1{path}", json=body, headers=bob)
        assert refused.status_code == 403 and "belongs to somebody else" in refused.json()["detail"], (path, body)
    members = separate.get(f"/api/v1/experiments/{run['experiment']}", headers=bob).json()["runs"]
    assert members == [run["id"]]
    for owner in (ada, ADMINISTRATOR):
        assert separate.post("/api/v1/runs", json=into, headers=owner).status_code == 201


def test_what_another_token_made_may_be_read_also_by_an_import_and_a_new_run(
    separate: TestClient, system: System, work: Any
):
    bob = bearer(new_token(separate, "bob"))
    task, _ = inspected(separate, system, headers=ADMINISTRATOR)
    imported = separate.post("/api/v1/models", json={**IMPORT, "upload": task}, headers=bob)
    assert imported.status_code == 202, imported.text
    source = trained(work, system)
    started = launch(separate, bob, spec={"init_from": {"run": source, "mode": "weights"}, "evaluations": []})
    assert started["owner"] == "bob"


def test_an_experiment_with_runs_of_others_is_not_deleted_by_its_owner(guarded: TestClient, separate: TestClient):
    ada, bob = (bearer(new_token(guarded, name)) for name in ("ada", "bob"))
    experiment = launch(guarded, ada)
    path = f"/api/v1/experiments/{experiment['id']}"
    guarded.post(f"{path}/runs", json={"seeds": [5]}, headers=bob).raise_for_status()
    assert separate.patch(path, json={"notes": "n"}, headers=ada).status_code == 200
    assert separate.delete(path, headers=ada).status_code == 403


def test_a_data_set_of_the_catalog_is_removed_by_the_administrator_alone(separate: TestClient):
    ada = bearer(new_token(separate, "ada"))
    assert separate.delete("/api/v1/datasets/mnist", headers=ada).status_code == 403
    assert separate.delete("/api/v1/datasets/mnist", headers=ADMINISTRATOR).status_code == 200


def test_other_webhooks_are_not_listed(separate: TestClient):
    ada, bob = (bearer(new_token(separate, name)) for name in ("ada", "bob"))
    separate.post("/api/v1/webhooks", json={"url": "http://127.0.0.1/secret"}, headers=ada).raise_for_status()
    assert separate.get("/api/v1/webhooks", headers=bob).json()["items"] == []
    (hook,) = separate.get("/api/v1/webhooks", headers=ada).json()["items"]
    assert hook["owner"] == "ada"
    assert separate.get(f"/api/v1/webhooks/{hook['id']}/deliveries", headers=bob).status_code == 403
    assert separate.get(f"/api/v1/webhooks/{hook['id']}/deliveries", headers=ada).status_code == 200


@pytest.mark.parametrize("spelling", ["+{}", " {}", "0{}", "{}.0", "{} "])
def test_no_spelling_of_an_id_gets_past_its_owner(separate: TestClient, spelling: str):
    ada, bob = (bearer(new_token(separate, name)) for name in ("ada", "bob"))
    run = launch(separate, ada)["runs"][0]
    path = f"/api/v1/runs/{quote(spelling.format(run))}/cancel"
    assert separate.post(path, headers=bob).status_code in (403, 404, 422)
    assert separate.get(f"/api/v1/runs/{run}", headers=bob).json()["status"] == "queued"


def test_an_id_of_nothing_or_of_no_number_is_not_forbidden(separate: TestClient):
    ada = bearer(new_token(separate, "ada"))
    for path in ("/runs/999", "/experiments/999", "/webhooks/999"):
        assert separate.delete(f"/api/v1{path}", headers=ada).status_code == 404, path
    for path in ("/runs/x", f"/runs/{10**30}", "/datasets/%00"):
        assert separate.delete(f"/api/v1{path}", headers=ada).status_code == 422, path
    assert separate.post("/api/v1/tasks/999/cancel", headers=ada).status_code == 404


def test_idempotency_keys_of_two_tokens_do_not_meet(guarded: TestClient):
    ada, bob = (bearer(new_token(guarded, name)) for name in ("ada", "bob"))
    key = {"Idempotency-Key": "same"}
    first, again = launch(guarded, ada | key), launch(guarded, ada | key)
    assert first["id"] == again["id"]
    assert launch(guarded, bob | key, name="other")["id"] != first["id"]
    assert launch(guarded, ADMINISTRATOR | key, name="third")["id"] not in (first["id"], first["id"] + 1)


def test_revoking_deletes_the_webhooks_and_keeps_the_runs(guarded: TestClient, system: System):
    ada, bob = new_token(guarded, "ada"), new_token(guarded, "bob")
    for member in (ada, bob):
        launch(guarded, bearer(member))
        guarded.post("/api/v1/webhooks", json={"url": "http://127.0.0.1/x"}, headers=bearer(member)).raise_for_status()
    guarded.delete(f"/api/v1/tokens/{ada['id']}", headers=ADMINISTRATOR).raise_for_status()
    hooks = guarded.get("/api/v1/webhooks", headers=bearer(bob)).json()["items"]
    assert [hook["owner"] for hook in hooks] == ["bob"]
    with system.database.write() as session:
        webhooks.enqueue(session)
    runs = guarded.get("/api/v1/runs", headers=bearer(bob)).json()["items"]
    assert {run["owner"] for run in runs} == {"ada", "bob"}


def test_the_open_streams_of_a_revoked_token_end(settings: Settings):
    server = Server(settings, DENSITYLAB_API_TOKEN="secret")
    try:
        with httpx.Client(base_url=server.url, headers=ADMINISTRATOR, timeout=30) as administrator:
            launched = administrator.post("/experiments", json={"name": "e", "spec": {"evaluations": []}}).json()
            for path in ("/events", f"/runs/{launched['runs'][0]}/events"):
                member = administrator.post("/tokens", json={"name": f"of {path}"}).json()
                with httpx.stream("GET", server.url + path, headers=bearer(member), timeout=30) as stream:
                    lines = stream.iter_lines()
                    assert next(lines)
                    administrator.delete(f"/tokens/{member['id']}").raise_for_status()
                    began = time.monotonic()
                    assert list(lines) is not None and time.monotonic() - began < 10  # a comment comes after 15 s
    finally:
        server.process.kill()
        server.process.wait()


@pytest.mark.parametrize("name", ["bo\u200bb", "a\nb", "a\u202eb", "a\tb"])
def test_a_token_has_a_name_that_can_be_seen(settings: Settings, name: str):
    token = SecretStr("secret")
    with TestClient(create_app(settings.model_copy(update={"api_token": token}))) as client:
        headers = {"Authorization": "Bearer secret"}
        answer = client.post("/api/v1/tokens", json={"name": name}, headers=headers)
    assert answer.status_code == 422 and "invisible" in answer.json()["detail"]
