"""Studies on a real database, with runs whose results are known functions of method, λ and seed."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from densitylab.backend.reconciler import evaluate_selected
from densitylab.backend.services.search_runs import first_runs
from densitylab.backend.shared import specs
from densitylab.backend.shared.catalog import Catalog, StudyEntry
from densitylab.backend.shared.contracts import BracketSearch, Evaluation, ExperimentRequest, Run, Status, Value
from densitylab.backend.shared.statistics.groups import flatten
from densitylab.backend.shared.store import experiments, tasks
from densitylab.backend.shared.tables import StudyRow

LEAKAGE = {"key": "leakage", "size": "minutes"}
NOISE = {0: 0.0, 1: 0.004, 2: -0.003}
CATALOG = Catalog.built_in()


def value(number: float, *, higher: bool) -> Value:
    return Value(value=number, n=100, higher_is_better=higher)


def leakage(run: Run, evaluation: Evaluation) -> dict[str, Value]:
    """λ lowers the share, and the largest costs 5 points of accuracy; the rival leaks a little more."""
    at, noise = run.spec.lambda_, NOISE[run.spec.seed]
    if evaluation.key == "accuracy":
        lost = 0.05 if run.spec.lambda_ >= 1 and run.spec.model.key == "mlp" else 0.0
        return {"accuracy": value(0.9 - lost + noise, higher=True)}
    share = 0.4 if at == 0 else 0.2 - 0.01 * at + (0.02 if run.spec.regularizer.key == "input_gradient" else 0.0)
    return {name: value(share + noise * at / 10, higher=False) for name in ("l2", "share")}


def train_all(work: Any, study: dict[str, Any]) -> None:
    for launch in study["launches"]:
        with work.system.database.read() as session:
            members = experiments.run_ids(session, launch["experiment"])
        for run_id in members:
            work.train(run_id)
            work.store_results(run_id, leakage)


def states(client: TestClient, study: dict[str, Any]) -> dict[int, dict[str, int]]:
    """Return the number of evaluations by status of each run of a study."""
    pages = [
        client.get("/api/v1/runs", params={"experiment": item["experiment"], "limit": 200})
        for item in study["launches"]
    ]
    return {run["id"]: run["evaluation_counts"] for page in pages for run in page.json()["items"]}


@pytest.mark.parametrize("entry", CATALOG.all(StudyEntry), ids=lambda entry: entry.key)
def test_every_launch_is_valid_and_has_what_tables_and_claims_name(entry: StudyEntry):
    named = {entry.select_by, *(claim.result for claim in entry.claims)}
    named |= {result for table in entry.tables for result in table.results}
    found: set[str] = set()
    for item in (item for size in entry.sizes for item in size.launches):
        body = {"spec": dict(item.spec), "sweep": item.sweep, "search": item.search}
        request = ExperimentRequest.model_validate(body)
        planned = specs.plan(CATALOG, request.spec, request.sweep)
        if isinstance(request.search, BracketSearch):
            planned = first_runs(CATALOG, request, request.search, planned)
        assert any(run.spec.lambda_ == 0 for run in planned), "a baseline"
        assert len({run.spec.seed for run in planned}) >= 3
        found |= {str(item.name) for run in planned for item in run.spec.evaluations}
        found |= {evaluation.get("name", evaluation["key"]) for evaluation in item.of_selected}
        settings = [flatten(run.spec.model_dump()) for run in planned]
        for claim in entry.claims:
            for side in (claim.first, claim.second):
                assert any(all(own.get(name) == it for name, it in side.items()) for own in settings), claim.text
    assert {name.partition(".")[0] for name in named} <= {*found, "metrics"}


def test_a_study_runs_and_answers_its_claims(client: TestClient, work: Any):
    work.prepare()
    price = client.post("/api/v1/studies/preflight", json=LEAKAGE).json()
    assert price["runs"] == 45 and price["hardware"] == "two CPU cores"
    launched = client.post("/api/v1/studies", json=LEAKAGE)
    assert launched.status_code == 202
    study = launched.json()
    assert launched.headers["Location"] == f"/api/v1/studies/{study['id']}"
    assert [item["runs"] for item in study["launches"]] == [15, 15, 15]
    assert not study["finished"]
    early = client.get(f"/api/v1/studies/{study['id']}/report").json()
    assert {claim["verdict"] for claim in early["claims"]} == {"undecided"}
    assert any("not finished" in note for note in early["notes"])

    train_all(work, study)
    assert not client.get(f"/api/v1/studies/{study['id']}").json()["finished"], "zero occlusion is left"
    evaluate_selected(work.system)
    evaluate_selected(work.system)  # requests nothing twice
    selected = [run_id for run_id, counts in states(client, study).items() if counts == {"succeeded": 3, "queued": 1}]
    # Three seeds of the baselines, and of two methods on two networks; on the third every λ costs too much
    assert len(selected) == 3 * (3 + 2 * 2)
    assert not client.get(f"/api/v1/studies/{study['id']}").json()["finished"]
    for run_id in selected:
        work.store_results(run_id, leakage)
    report = client.get(f"/api/v1/studies/{study['id']}/report").json()
    assert report["study"]["finished"]
    table = next(
        item for item in report["tables"] if item["launch"] == "mlp_relu" and item["title"].startswith("Leakage at")
    )
    assert [column["result"] for column in table["columns"]][:3] == ["accuracy.accuracy", "leakage.l2", "leakage.share"]
    baseline, *methods = table["rows"]
    assert baseline["settings"]["regularizer.key"] == "none" and baseline["lambda_"] == 0
    # λ = 1 costs five points of accuracy on an MLP, so 0.1 is selected, the lowest that was tried
    assert [(row["lambda_"], row["edge"], row["candidates"]) for row in methods] == [(0.1, "lowest", 2)] * 2
    share = next(index for index, column in enumerate(table["columns"]) if column["result"] == "leakage.share")
    marginal = next(row for row in methods if row["settings"]["regularizer.key"] == "marginal_density")
    assert marginal["cells"][share]["mean"]["mean"] == pytest.approx(0.199, abs=1e-4)
    assert marginal["cells"][share]["mean"]["n"] == len(marginal["runs"]) == 3
    assert marginal["cells"][share]["per_seed"] == pytest.approx([0.199, 0.19904, 0.19897])

    occluded = next(index for index, column in enumerate(table["columns"]) if "occlusion.share" in column["result"])
    assert marginal["cells"][occluded]["per_seed"] == pytest.approx([0.199, 0.19904, 0.19897])

    claims = {(item["launch"], item["text"]): item for item in report["claims"]}
    smaller = claims["mlp_relu", "Marginal-density smoothing has a smaller share of leakage than no penalty"]
    assert smaller["verdict"] == "yes" and smaller["first"] == marginal["runs"] and smaller["claim"]["seeds"] == 3
    assert smaller["second"] == baseline["runs"]
    figure = report["figures"][0]
    assert [panel["launch"] for panel in figure["panels"]] == ["mlp_relu", "mlp_gelu", "cnn_gelu"]
    assert sorted(len(line["points"]) for line in figure["panels"][0]["lines"]) == [1, 2, 2]


def test_a_failed_run_is_named_and_is_in_no_figure(client: TestClient, work: Any):
    work.prepare()
    study = client.post("/api/v1/studies", json=LEAKAGE).json()
    experiment = study["launches"][0]["experiment"]
    with work.system.database.read() as session:
        first, *_ = experiments.run_ids(session, experiment)
    held = work.start(first)
    with work.system.database.write() as session:
        tasks.fence(session, held)
        tasks.finish(session, held, Status.FAILED, error="it diverged")
    notes = client.get(f"/api/v1/studies/{study['id']}/report").json()["notes"]
    assert f"MLP, ReLU: runs {first} failed and are in no figure." in notes


def test_what_needs_a_missing_data_set_is_left_out_and_launched_later(client: TestClient, work: Any):
    work.prepare()
    study = client.post("/api/v1/studies", json={"key": "robustness", "size": "hours"}).json()
    launch, _ = study["launches"]
    assert launch["experiment"] is None and launch["runs"] == 0
    assert launch["prepare"] == "/api/v1/datasets/cifar10/prepare" and "CIFAR-10 is not prepared" in launch["left_out"]
    assert not study["finished"]
    again = client.post(f"/api/v1/studies/{study['id']}/continue")
    assert again.status_code == 202 and again.json()["launches"][0]["experiment"] is None
    report = client.get(f"/api/v1/studies/{study['id']}/report").json()
    assert not report["tables"] and any("CIFAR-10" in note for note in report["notes"])


def test_evaluations_against_missing_data_are_left_out_and_the_rest_runs(client: TestClient, work: Any):
    elsewhere = {"key": "ood", "datasets": {"textured_digits": "mnist"}}
    (missing,) = client.post("/api/v1/studies", json=elsewhere).json()["launches"]
    assert missing["runs"] == 0 and "MNIST is not prepared" in missing["left_out"]
    against = {"key": "ood", "datasets": {"blockmnist": "mnist"}}
    study = client.post("/api/v1/studies", json=against).json()
    (launch,) = study["launches"]
    assert launch["runs"] == 15 and "ood_blockmnist: the data set MNIST is not prepared" in launch["left_out"]
    experiment = client.get(f"/api/v1/experiments/{launch['experiment']}").json()
    assert [item["name"] for item in experiment["request"]["spec"]["evaluations"]] == ["ood_noise"]
    claims = client.get(f"/api/v1/studies/{study['id']}/report").json()["claims"]
    assert len(claims) == 1, "this launch is evaluated against neither SVHN nor CIFAR-100"
    assert "BlockMNIST" in claims[0]["text"] and claims[0]["verdict"] == "undecided"


@pytest.mark.parametrize(
    ("body", "pointer", "text"),
    [
        ({"key": "leakages"}, "/key", "on offer: leakage"),
        ({"key": "leakage", "size": "days"}, "/size", "'minutes', 'hours' or 'gpu'"),
        ({"key": "leakage", "datasets": {"cifar10": "mnist"}}, "/datasets/cifar10", "it takes: blockmnist"),
        ({"key": "leakage", "datasets": {"blockmnist": "nothing"}}, "/datasets/blockmnist", "no data set 'nothing'"),
        ({"size": "minutes"}, "/key", ""),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/studies", "/api/v1/studies/preflight"])
def test_wrong_fields_are_named(client: TestClient, path: str, body: dict[str, Any], pointer: str, text: str):
    answer = client.post(path, json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer and text in error["detail"]


def test_a_repeated_launch_gives_the_same_study(client: TestClient, work: Any):
    work.prepare()
    headers = {"Idempotency-Key": "once"}
    first, second = (client.post("/api/v1/studies", json=LEAKAGE, headers=headers).json() for _ in range(2))
    assert first["id"] == second["id"]
    assert len(client.get("/api/v1/experiments").json()["items"]) == 3
    other = client.post("/api/v1/studies", json={"key": "norms"}, headers=headers)
    assert other.status_code == 409


def test_studies_are_listed_newest_first_and_deleted_without_their_experiments(client: TestClient, work: Any):
    work.prepare()
    ids = [client.post("/api/v1/studies", json={"key": key}).json()["id"] for key in ("leakage", "norms", "leakage")]
    page = client.get("/api/v1/studies", params={"limit": 2}).json()
    assert [item["id"] for item in page["items"]] == ids[:0:-1]
    rest = client.get("/api/v1/studies", params={"limit": 2, "cursor": page["next_cursor"]}).json()
    assert [item["id"] for item in rest["items"]] == ids[:1] and rest["next_cursor"] is None
    only = client.get("/api/v1/studies", params={"key": "norms", "size": "minutes"}).json()["items"]
    assert [item["key"] for item in only] == ["norms"]
    experiment = only[0]["launches"][0]["experiment"]
    assert client.delete(f"/api/v1/studies/{ids[1]}").json()["id"] == ids[1]
    assert client.get(f"/api/v1/studies/{ids[1]}").status_code == 404
    assert client.get(f"/api/v1/experiments/{experiment}").status_code == 200


def test_evaluations_of_the_selected_that_are_not_possible_are_said(client: TestClient, work: Any):
    work.prepare()
    study = client.post("/api/v1/studies", json=LEAKAGE).json()
    with work.system.database.write() as session:
        row = session.get_one(StudyRow, study["id"])
        definition = json.loads(json.dumps(row.definition))
        (evaluation,) = definition["size"]["launches"][0]["of_selected"]
        evaluation["params"]["attribution"]["key"] = "removed_since"
        row.definition = definition
    train_all(work, study)
    evaluate_selected(work.system)
    first, second, _ = client.get(f"/api/v1/studies/{study['id']}").json()["launches"]
    assert "leakage_zero_occlusion of the selected λ: " in first["left_out"] and "removed_since" in first["left_out"]
    assert not second["left_out"] and second["evaluation_counts"]["queued"] == 3


def test_a_deleted_experiment_is_said(client: TestClient, work: Any):
    work.prepare()
    study = client.post("/api/v1/studies", json=LEAKAGE).json()
    experiment = study["launches"][1]["experiment"]
    client.post("/api/v1/bulk/runs", json={"action": "cancel", "runs": list(range(1, 46))})
    assert client.delete(f"/api/v1/experiments/{experiment}").status_code == 200
    launch = client.get(f"/api/v1/studies/{study['id']}").json()["launches"][1]
    assert launch["experiment"] is None and launch["left_out"] == f"Its experiment {experiment} was deleted."
    report = client.get(f"/api/v1/studies/{study['id']}/report").json()
    assert any("was deleted" in note for note in report["notes"])
