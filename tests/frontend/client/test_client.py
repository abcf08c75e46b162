"""The real client against the real app, in one process."""

import base64
import hashlib
import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import pandas
import pytest
import torch
from fastapi.testclient import TestClient

from densitylab.backend.api.app import create_app
from densitylab.backend.ops import migrate
from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import (
    AttributionRequest,
    EvaluationSpec,
    ExperimentPatch,
    ExperimentRequest,
    RunPatch,
    Samples,
    Status,
)
from densitylab.backend.shared.settings import Settings
from densitylab.frontend.client import ApiClient, ApiError, connect
from densitylab.frontend.client.presets import PRESETS

CATALOG = Catalog.built_in()


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
        kind: list(entries) for kind, entries in CATALOG.by_kind.items()
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
    first, second = (run.id for run in client.every(client.runs, sort="id", limit=1))
    assert [run.id for run in client.every(client.runs, status=("queued", "failed"), limit=1)] == [second, first]
    assert [run.id for run in client.runs(ids=range(second, second + 9), archived=[True, False]).items] == [second]
    assert [run.id for run in client.runs(where=["spec.regularizer.key=none", "spec.epochs>1"]).items] == [first]
    created = client.run(second).created_at
    assert client.runs(created_after=created + timedelta(seconds=1)).items == []
    page = client.runs(limit=1, total=True, lambda_min=0, created_after=created - timedelta(days=1), seed=0)
    assert (len(page.items), page.total) == (1, 2)
    assert client.run_fields(["id", "notes"], model="mlp", limit=1).items == [{"id": second, "notes": ""}]
    assert client.runs_csv(ids=[first]).splitlines()[1].startswith(f"{first},")
    frame = pandas.read_parquet(io.BytesIO(client.run_table("runs", sort="id")))
    assert list(frame["id"]) == [first, second] and frame["spec.lambda_"][1] == 0.5
    assert len(pandas.read_feather(io.BytesIO(client.run_table("curves", "arrow")))) == 0
    with pytest.raises(ApiError, match="did you mean status"):
        client.runs(statsu="failed")  # type: ignore[call-arg]


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
    assert [item.key for item in found] == [entry.key for entry in CATALOG.all("dataset")]
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
    assert "http://127.0.0.1:9 does not answer" in str(refused.value) and "densitylab up" in str(refused.value)


def test_something_else_at_the_address_is_one_clear_sentence():
    http = httpx.Client(
        base_url="http://other",
        transport=httpx.MockTransport(lambda request: httpx.Response(200, text="<html>hello</html>")),
    )
    with pytest.raises(ApiError, match="is it the API"):
        ApiClient(http).catalog()
    http = httpx.Client(
        base_url="http://other",
        transport=httpx.MockTransport(lambda request: httpx.Response(200, json={"items": [{"id": "no"}]})),
    )
    with pytest.raises(ApiError, match="different versions"):
        ApiClient(http).runs()
    http = httpx.Client(
        base_url="http://other", transport=httpx.MockTransport(lambda request: httpx.Response(502, text="bad gateway"))
    )
    with pytest.raises(ApiError, match="502"):
        ApiClient(http).runs()


@pytest.mark.parametrize("make", [dict, lambda **fields: ExperimentRequest(**fields)], ids=["mapping", "request"])
def test_values_of_numpy_and_torch_are_sent_as_numbers(client: ApiClient, make):
    request = make(
        spec={
            "lambda_": np.float32(0.5),
            "epochs": np.int64(3),
            "batch_size": torch.tensor(50),
            "model": {"key": np.str_("mlp"), "params": {"hidden": np.uint16(8), "dropout": np.float64(0.25)}},
            "evaluations": [
                {"key": "pgd_linf", "params": {"epsilons": np.array([0.25, 0.5]), "random_start": np.True_}}
            ],
        },
        sweep={"seed": list(np.arange(2)), "lambda_": [np.float64(0.25), np.float16(0.5)]},
    )
    assert client.preflight(request).runs == 4
    runs = client.runs_of(client.launch(request).id)
    assert [(run.spec.seed, run.spec.lambda_) for run in runs] == [(0, 0.25), (0, 0.5), (1, 0.25), (1, 0.5)]
    spec = runs[0].spec
    assert (spec.epochs, spec.batch_size, spec.model.params["hidden"]) == (3, 50, 8)
    assert spec.evaluations[-1].params["epsilons"] == [0.25, 0.5]


def test_a_numpy_array_is_a_list_of_a_sweep(client: ApiClient):
    sweep = {"seed": np.arange(3), "lambda_": np.linspace(0, 1, 3)}
    assert client.preflight({"sweep": sweep}).runs == 9


@pytest.mark.parametrize("value", [np.float64("nan"), np.float32("inf")])
def test_a_numpy_value_that_is_no_number_is_refused_with_its_field(client: ApiClient, value):
    with pytest.raises(ApiError) as refused:
        client.launch({"spec": {"lambda_": value}})
    assert [error.pointer for error in refused.value.errors] == ["/spec/lambda_"]


def test_what_cannot_be_sent_is_named(client: ApiClient):
    with pytest.raises(ValueError, match="type object cannot be sent: expected numbers, text, lists and mappings"):
        client.launch({"spec": {"lambda_": object()}})


def test_a_file_that_changed_on_its_way_is_refused():
    digest = base64.b64encode(hashlib.sha256(b"weights").digest()).decode()

    def answer(request: httpx.Request) -> httpx.Response:
        content = b"weights" if request.url.path.startswith("/api/v1/runs/1/") else b"weightz"
        return httpx.Response(200, content=content, headers={"Repr-Digest": f"sha-256=:{digest}:"})

    with httpx.Client(base_url="http://api", transport=httpx.MockTransport(answer)) as http:
        client = ApiClient(http)
        assert client.artifact(1, "checkpoint.pt") == b"weights"
        for ask in (lambda: client.artifact(2, "checkpoint.pt"), lambda: client.attribution_file(2)):
            with pytest.raises(ApiError, match="changed on its way from the API: download it again"):
                ask()
