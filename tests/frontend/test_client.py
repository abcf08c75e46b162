"""The real client against the real app, in one process."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from backend import migrate
from backend.api.app import create_app
from backend.shared.catalog import CATALOG
from backend.shared.contracts import (
    AttributionRequest,
    EvaluationSpec,
    ExperimentPatch,
    ExperimentRequest,
    RunPatch,
    Samples,
    Status,
)
from backend.shared.settings import Settings
from frontend.client import ApiClient, ApiError, connect
from frontend.presets import PRESETS


@pytest.fixture
def client(tmp_path: Path) -> Iterator[ApiClient]:
    settings = Settings(home=tmp_path)
    migrate.upgrade(settings)
    with TestClient(create_app(settings)) as http:
        yield ApiClient(http)


def test_readiness_says_that_the_broker_is_down(client: ApiClient):
    ready = client.readiness()
    assert (ready.status, ready.database, ready.queued) == ("degraded", "ok", 0)
    assert ready.broker != "ok"


def test_the_catalog_arrives_whole(client: ApiClient):
    catalog = client.catalog()
    assert {kind: [entry.key for entry in catalog.entries(kind)] for kind in catalog.root} == {
        kind: [entry.key for entry in entries] for kind, entries in CATALOG.items()
    }
    assert catalog.label("model", "mlp") == "MLP"
    assert catalog.label("model", "gone") == "gone"


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.key)
def test_every_preset_is_accepted(client: ApiClient, preset):
    experiment = client.launch(preset.request)
    runs = client.runs_of(experiment.id)
    assert [run.id for run in runs] == experiment.runs
    assert {run.status for run in runs} == {Status.QUEUED}


def test_runs_come_in_pages(client: ApiClient):
    experiment = client.launch(ExperimentRequest(sweep={"seed": [0, 1, 2, 3, 4]}))
    first = client.runs(experiment=experiment.id, limit=3)
    second = client.runs(experiment=experiment.id, limit=3, cursor=first.next_cursor)
    assert [run.spec.seed for run in first.items + second.items] == [4, 3, 2, 1, 0]
    assert second.next_cursor is None
    assert [run.spec.seed for run in client.runs_of(experiment.id)] == [0, 1, 2, 3, 4]


def test_filters_reach_the_api(client: ApiClient):
    client.launch(ExperimentRequest(spec={"regularizer": {"key": "none"}}))
    client.launch(ExperimentRequest(spec={"lambda_": 0.5}))
    assert [run.spec.lambda_ for run in client.runs(regularizer="marginal_density").items] == [0.5]
    assert client.runs(status=Status.FAILED).items == []


def test_the_same_key_launches_once(client: ApiClient):
    first = client.launch(ExperimentRequest(name="once"), idempotency_key="k")
    assert client.launch(ExperimentRequest(name="once"), idempotency_key="k").id == first.id
    assert len(client.experiments().items) == 1


def test_a_refusal_names_the_fields(client: ApiClient):
    with pytest.raises(ApiError) as refused:
        client.launch(ExperimentRequest(spec={"epochs": 0, "lambda_": -1}))
    assert refused.value.status == 422
    assert {error.pointer for error in refused.value.errors} == {"/spec/epochs", "/spec/lambda_"}
    assert client.runs().items == []


def test_what_is_not_there_is_a_404(client: ApiClient):
    for ask in (client.run, client.experiment, client.task, client.attribution, client.log, client.evaluations):
        with pytest.raises(ApiError) as refused:
            ask(12345)
        assert refused.value.status == 404
        assert "12345" in str(refused.value)


def test_the_life_of_a_run(client: ApiClient):
    experiment = client.launch(ExperimentRequest(name="life"))
    run_id = experiment.runs[0]
    assert client.change_run(run_id, RunPatch(notes="mine", tags=["a"])).notes == "mine"
    assert client.change_experiment(experiment.id, ExperimentPatch(name="other")).name == "other"
    assert client.experiment(experiment.id).name == "other"
    assert [item.name for item in client.evaluations(run_id)] == ["accuracy", "leakage", "pgd_linf"]
    assert client.metrics(run_id) == []
    assert [series.points for series in client.metrics_of([run_id], ["loss"])] == [[]]
    assert client.log(run_id) == [] and client.artifacts(run_id) == []
    assert client.task(client.run(run_id).task).run == run_id
    with pytest.raises(ApiError, match="checkpoint"):
        client.evaluate(run_id, EvaluationSpec(key="pgd_l2"))
    with pytest.raises(ApiError) as refused:
        client.attribute(AttributionRequest(runs=[run_id], samples=Samples(indices=[0])))
    assert refused.value.status == 409
    with pytest.raises(ApiError):
        client.delete_run(run_id)  # at work
    assert client.cancel_run(run_id).status is Status.CANCELLED
    assert client.retry_run(run_id).status is Status.QUEUED
    client.cancel_run(run_id)
    assert client.delete_run(run_id).bytes == 0
    assert client.delete_experiment(experiment.id).bytes == 0
    assert client.experiments().items == []


def test_data_sets(client: ApiClient):
    found = client.datasets().items
    assert [item.key for item in found] == [entry.key for entry in CATALOG["dataset"]]
    assert client.dataset("blockmnist").status == "absent"
    task = client.prepare_dataset("blockmnist")
    assert client.task(task.id).status is Status.QUEUED
    with pytest.raises(ApiError, match="not prepared"):
        client.samples("blockmnist", indices=[0, 1])
    assert client.cancel_task(task.id).status is Status.CANCELLED


def test_the_token_is_sent(tmp_path: Path):
    settings = Settings(home=tmp_path, api_token="secret")
    migrate.upgrade(settings)
    app = create_app(settings)
    with TestClient(app) as http, pytest.raises(ApiError, match="DENSITYLAB_API_TOKEN"):
        ApiClient(http).catalog()
    with TestClient(app, headers={"Authorization": "Bearer secret"}) as http:
        assert ApiClient(http).catalog().entries("model")


def test_a_dead_api_is_one_clear_sentence():
    with pytest.raises(ApiError) as refused:
        connect("http://127.0.0.1:9").runs()
    assert refused.value.status == 0
    assert "http://127.0.0.1:9 does not answer" in str(refused.value) and "make up" in str(refused.value)


def test_something_else_at_the_address_is_one_clear_sentence():
    http = httpx.Client(base_url="http://other", transport=httpx.MockTransport(
        lambda request: httpx.Response(200, text="<html>hello</html>")
    ))
    with pytest.raises(ApiError, match="is it the API"):
        ApiClient(http).catalog()
    http = httpx.Client(base_url="http://other", transport=httpx.MockTransport(
        lambda request: httpx.Response(200, json={"items": [{"id": "no"}]})
    ))
    with pytest.raises(ApiError, match="different versions"):
        ApiClient(http).runs()
    http = httpx.Client(base_url="http://other", transport=httpx.MockTransport(
        lambda request: httpx.Response(502, text="bad gateway")
    ))
    with pytest.raises(ApiError, match="502"):
        ApiClient(http).runs()
