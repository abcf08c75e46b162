"""Evaluations of trained runs: reused, run again or refused, and the images behind a metric."""

import io
import json
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import Status, Value
from densitylab.backend.shared.store import evaluations, run_artifacts, tasks


@pytest.fixture
def trained(work: Any) -> int:
    (run_id,) = work.launch({"evaluations": []})
    work.train(run_id)
    return run_id


def path(run_id: int) -> str:
    return f"/api/v1/runs/{run_id}/evaluations"


def finish(work: Any, answer: dict[str, Any], arrays: dict[str, np.ndarray] | None = None, **provenance: Any) -> None:
    """Finish the evaluation in the response, as a worker does."""
    version = Catalog.built_in().find("evaluation", answer["key"]).version
    held = work.claim(answer["task"])
    with work.system.database.write() as session:
        tasks.fence(session, held)
        evaluations.store(
            session,
            answer["id"],
            values={"accuracy": Value(value=0.5, low=0.4, high=0.6, n=100)},
            curves={},
            flags=[],
            seconds=0.1,
            provenance={"checkpoint_step": 540, "measure_version": version, **provenance},
        )
        if arrays is not None:
            file = io.BytesIO()
            np.savez(file, **arrays)
            location = f"runs/{answer['run']}/evaluations/{answer['id']}.npz"
            size = work.system.store.write(location, file.getvalue())
            run_artifacts.put_artifact(
                session,
                answer["run"],
                f"{answer['name']}.npz",
                location=location,
                size=size,
                media_type="application/zip",
            )
        tasks.finish(session, held, Status.SUCCEEDED)


def test_a_measure_is_added_kept_and_refused(client: TestClient, work: Any):
    (run_id,) = work.launch({"evaluations": []})
    path = f"/api/v1/runs/{run_id}/evaluations"
    early = client.post(path, json={"key": "pgd_l2"})
    assert early.status_code == 409 and f"run {run_id} has no checkpoint" in early.json()["detail"]
    work.train(run_id)
    body = {"key": "pgd_linf", "params": {"epsilons": [0.05]}, "name": "small"}
    added = client.post(path, json=body)
    assert added.status_code == 202 and added.json()["params"]["steps"] == 40
    task = client.get(added.headers["location"]).json()
    assert (task["kind"], task["run"], task["stage"]) == ("evaluate", run_id, "queued")
    again = client.post(path, json=body)
    assert again.status_code == 200 and again.json()["id"] == added.json()["id"]
    other = client.post(path, json={**body, "params": {"epsilons": [0.1]}})
    assert other.status_code == 409 and other.json()["errors"][0]["pointer"] == "/name"
    work.end(work.claim(task["id"]), Status.FAILED, "x")
    tried_again = client.post(path, json=body)
    assert (tried_again.status_code, tried_again.json()["status"]) == (202, "queued")
    for wrong, pointer in [
        ({"key": "nope"}, "/key"),
        ({"key": "pgd_l2", "params": {"steps": 0}}, "/params/steps"),
        ({"key": "pgd_l2", "name": "accuracy"}, "/name"),
        ({"key": "pgd_l2", "name": "no name"}, "/name"),
        ({}, "/key"),
        ({"key": "pgd_l2", "params": {"epsilons": [-1]}}, "/params/epsilons"),
    ]:
        refused = client.post(path, json=wrong)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, pointer), json.dumps(wrong)


def test_the_same_request_is_answered_from_what_is_kept_and_another_gets_a_name_of_its_own(
    client: TestClient, work: Any, trained: int
):
    first = client.post(path(trained), json={"key": "square_linf"})
    assert first.status_code == 202
    finish(work, first.json())
    again = client.post(path(trained), json={"key": "square_linf", "params": {"queries": 500}})
    assert (again.status_code, again.json()["id"], again.json()["values"]["accuracy"]["value"]) == (
        200,
        first.json()["id"],
        0.5,
    )
    other = client.post(path(trained), json={"key": "square_linf", "params": {"queries": 50}})
    assert (other.status_code, other.json()["name"]) == (202, "square_linf_2")


@pytest.mark.parametrize("older", [{"checkpoint_step": 100}, {"measure_version": 0}])
def test_a_figure_of_an_older_checkpoint_or_version_is_taken_again(
    client: TestClient, work: Any, trained: int, older: dict[str, int]
):
    first = client.post(path(trained), json={"key": "square_linf"}).json()
    finish(work, first, **older)
    again = client.post(path(trained), json={"key": "square_linf"})
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (202, first["id"], "queued")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"key": "groups"}, "/key"),
        ({"key": "square_linf", "params": {"epsilons": [1.5]}}, "/params/epsilons"),
        ({"key": "pgd_linf", "params": {"epsilons": [-0.1]}}, "/params/epsilons"),
        ({"key": "leakage", "params": {"samples": 0}}, "/params/samples"),
        ({"key": "ood", "params": {"against": {"key": "nope", "params": {}}}}, "/params/against/key"),
        ({"key": "ood", "params": {"resize": "cubic"}}, "/params/resize"),
        ({"key": "ood", "params": {"against": {"key": "mnist", "params": {}}}}, "/params/resize"),
        ({"key": "transfer_linf"}, "/params/source"),
        ({"key": "transfer_linf", "params": {"source": 1.5}}, "/params/source"),
        ({"key": "transfer_linf", "params": {"source": 10**6}}, "/params/source"),
        (
            {"key": "stability", "params": {"perturbation": {"key": "noise", "params": {"sigma": 2}}}},
            "/params/perturbation/params/sigma",
        ),
        ({"key": "leakage", "params": {"attribution": {"key": "grad_cam", "params": {}}}}, "/params/attribution/key"),
        ({"key": "pixel_perturbation", "params": {"fractions": [0]}}, "/params/fractions"),
    ],
)
@pytest.mark.few(5)
def test_what_can_not_be_measured_is_refused_with_the_field(
    client: TestClient, trained: int, body: dict[str, Any], pointer: str
):
    refused = client.post(path(trained), json=body)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


def test_deeplift_is_refused_where_its_rule_has_no_meaning(client: TestClient, work: Any):
    (run_id,) = work.launch({"model": {"key": "mlp", "params": {"activation": "gelu"}}})
    work.train(run_id)
    body = {"key": "leakage", "params": {"attribution": {"key": "deeplift"}}}
    refused = client.post(path(run_id), json=body).json()["errors"][0]
    assert refused["pointer"] == "/params/attribution/key" and "relu or softplus" in refused["detail"]


@pytest.mark.parametrize(
    ("model", "attribution", "pointer", "said"),
    [
        ({"key": "vit", "params": {"activation": "relu"}}, {"key": "deeplift"}, "attribution/key", "other non-linear"),
        ({"key": "cnn", "params": {"norm": "group"}}, {"key": "deeplift"}, "attribution/key", "with norm group"),
        ({"key": "mlp"}, {"key": "grad_cam"}, "attribution/key", "needs a model with convolutions"),
        ({"key": "mlp"}, {"key": "occlusion", "params": {"patch": 60}}, "attribution/key", "≤ patch ≤ 28"),
        ({"key": "mlp"}, {"key": "occlusion", "params": {"patch": 2, "stride": 3}}, "attribution/key", "stride ≤"),
    ],
)
def test_a_method_that_does_not_fit_the_model_is_refused_before_the_launch(
    client: TestClient, model: dict[str, Any], attribution: dict[str, Any], pointer: str, said: str
):
    spec = {"model": model, "evaluations": [{"key": "leakage", "params": {"attribution": attribution}}]}
    for query in ("", "?dry_run=true"):
        refused = client.post(f"/api/v1/experiments{query}", json={"spec": spec})
        assert refused.status_code == 422
        (error,) = refused.json()["errors"]
        assert error["pointer"] == f"/spec/evaluations/0/params/{pointer}" and said in error["detail"]


@pytest.mark.parametrize("target", ["log_prob", "margin"])
def test_deeplift_explains_logits_alone(client: TestClient, trained: int, target: str):
    body = {"key": "leakage", "params": {"attribution": {"key": "deeplift"}, "target": target}}
    refused = client.post(path(trained), json=body)
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["pointer"] == "/params/target" and "DeepLIFT has no rule" in error["detail"]


def test_the_source_of_a_transfer_is_another_run_of_the_same_data_with_a_checkpoint(
    client: TestClient, work: Any, trained: int
):
    elsewhere, untrained, source = work.launch(
        {"evaluations": []}, [{"dataset.params.data_seed": [1]}, {"seed": [1, 2]}]
    )
    work.train(elsewhere)
    work.train(source)
    for wrong, reason in ((elsewhere, "other images"), (untrained, "no checkpoint"), (trained, "the evaluated one")):
        refused = client.post(path(trained), json={"key": "transfer_linf", "params": {"source": wrong}})
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "/params/source"
        assert reason in refused.json()["errors"][0]["detail"]
    assert client.post(path(trained), json={"key": "transfer_linf", "params": {"source": source}}).status_code == 202


def test_a_launch_with_a_source_that_can_not_be_used_is_refused_dry_or_not(client: TestClient):
    body = {"spec": {"evaluations": [{"key": "accuracy"}, {"key": "transfer_linf", "params": {"source": 77}}]}}
    for query in ("", "?dry_run=true"):
        refused = client.post(f"/api/v1/experiments{query}", json=body)
        assert refused.status_code == 422
        assert refused.json()["errors"][0]["pointer"] == "/spec/evaluations/1/params/source"


def test_the_images_behind_a_figure(client: TestClient, work: Any, trained: int):
    answer = client.post(path(trained), json={"key": "pgd_linf"}).json()
    samples = f"{path(trained)}/pgd_linf/samples"
    assert client.get(samples, params={"array": "broken_at"}).status_code == 409
    broken_at = np.array([0.0, 0.1, np.inf, 0.1, 0.05], np.float32)
    drawn = np.array([2, 4, 7, 11, 30])
    finish(work, answer, {"indices": drawn, "broken_at": broken_at, "held": np.ones((5, 2), bool)})
    flipped = client.get(samples, params={"array": "broken_at", "equals": 0.1}).json()
    assert flipped["total"] == 2 and [item["index"] for item in flipped["items"]] == [4, 11]
    assert flipped["items"][0]["values"] == {"broken_at": pytest.approx(0.1)}
    lowest = client.get(samples, params={"array": "broken_at", "order": "lowest", "limit": 2}).json()
    assert lowest["total"] == 5 and [item["index"] for item in lowest["items"]] == [2, 30]
    highest = client.get(samples, params={"array": "broken_at", "order": "highest", "limit": 1}).json()["items"]
    assert (highest[0]["index"], highest[0]["value"]) == (7, None)  # infinite: never broken
    refused = client.get(samples, params={"array": "held"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/query/array")
    assert client.get(f"{path(trained)}/nope/samples", params={"array": "x"}).status_code == 404


def test_an_evaluation_with_a_damaged_file_is_run_again(client: TestClient, work: Any):
    (run_id,) = work.launch({"evaluations": []})
    work.train(run_id)
    body = {"key": "pgd_l2"}
    added = client.post(path(run_id), json=body).json()
    version = Catalog.built_in().find("evaluation", "pgd_l2").version
    finish(work, added, {"robust": np.ones(4)}, measure_version=version)
    assert client.post(path(run_id), json=body).status_code == 200
    work.system.store.write(f"runs/{run_id}/evaluations/{added['id']}.npz", b"damaged")
    values = client.get(f"{path(run_id)}/pgd_l2/samples", params={"array": "robust"})
    assert values.status_code == 409
    assert (
        values.json()["detail"] == f"the stored file pgd_l2.npz of run {run_id} is damaged: run that evaluation again"
    )
    again = client.post(path(run_id), json=body)
    assert (again.status_code, again.json()["status"]) == (202, "queued")
    finish(work, added, {"robust": np.ones(4)})
    assert client.get(f"{path(run_id)}/pgd_l2/samples", params={"array": "robust"}).json()["total"] == 4


def test_an_evaluation_on_validation_images_is_another_one(client: TestClient, work: Any, trained: int):
    answers = {}
    for split in ("test", "validation"):
        added = client.post(path(trained), json={"key": "pgd_linf", "split": split})
        assert (added.status_code, added.json()["split"]) == (202, split)
        answers[split] = added.json()["name"]
        assert client.post(path(trained), json={"key": "pgd_linf", "split": split}).json()["id"] == added.json()["id"]
    assert answers == {"test": "pgd_linf", "validation": "pgd_linf_validation"}
    taken = client.post(path(trained), json={"key": "pgd_linf", "split": "validation", "name": "pgd_linf"})
    assert taken.status_code == 409 and taken.json()["errors"][0]["pointer"] == "/name"
    wrong = client.post(path(trained), json={"key": "pgd_linf", "split": "train"})
    assert wrong.status_code == 422 and wrong.json()["errors"][0]["pointer"] == "/split"


def test_a_launch_may_ask_for_both_splits(client: TestClient, work: Any):
    evaluations = [{"key": "accuracy", "split": "validation"}, {"key": "leakage"}]
    (run_id,) = work.launch({"evaluations": evaluations})
    expected = [("accuracy", "test"), ("accuracy_validation", "validation"), ("leakage", "test")]
    one = client.get(f"/api/v1/runs/{run_id}").json()
    listed = client.get("/api/v1/runs").json()["items"][0]
    for run in (one, listed):
        assert [(item["name"], item["split"]) for item in run["evaluations"]] == expected
    assert [(item["name"], item["split"]) for item in client.get(path(run_id)).json()["items"]] == expected
    named = {"spec": {"evaluations": [{"key": "accuracy", "split": "validation", "name": "accuracy"}]}}
    refused = client.post("/api/v1/experiments", json=named)
    assert refused.json()["errors"][0]["pointer"] == "/spec/evaluations/0/name"
