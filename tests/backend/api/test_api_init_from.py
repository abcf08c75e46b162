from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from densitylab.backend.reconciler import System
from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.store import metrics, runs
from densitylab.backend.shared.store.metrics import Point
from densitylab.backend.shared.tables import RunRow, TaskRow

LAUNCH = "/api/v1/experiments"
SMALL = {"train_samples": 500, "epochs": 3, "evaluations": []}  # five steps an epoch


def trained(work: Any, system: System, *, steps: int = 15, status: Status = Status.SUCCEEDED, **spec: Any) -> int:
    """Return a run that has trained `steps` of five steps an epoch."""
    (run_id,) = work.launch(SMALL | spec)
    held = work.start(run_id)
    work.checkpoint(held, steps)
    with system.database.write() as session:
        metrics.append(session, run_id, [Point("loss", step, step / 5, 1.0, 0.1) for step in range(1, steps + 1)])
    work.end(held, status)
    if status == Status.SUCCEEDED:
        work.finish_evaluations(run_id)
    return int(run_id)


def launched(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post(LAUNCH, json=body)
    assert answer.status_code == 202, answer.text
    return client.get(f"/api/v1/runs/{answer.json()['runs'][0]}").json()


def refused(client: TestClient, spec: dict[str, Any], sweep: Any = None) -> dict[str, str]:
    answers = [client.post(path, json={"spec": spec, "sweep": sweep}) for path in (LAUNCH, f"{LAUNCH}/preflight")]
    assert [answer.status_code for answer in answers] == [422, 422], answers[0].text
    assert answers[0].json()["errors"] == answers[1].json()["errors"]
    return {error["pointer"]: error["detail"] for error in answers[0].json()["errors"]}


def asked(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post(f"{LAUNCH}/preflight", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_continued_run_takes_what_its_spec_leaves_out_from_the_other_run(
    client: TestClient, work: Any, system: System
):
    source = trained(work, system, model={"key": "mlp", "params": {"hidden": 64}}, seed=4, lambda_=0.3)
    run = launched(client, spec={"init_from": {"run": source, "mode": "continue"}, "epochs": 8})
    before = client.get(f"/api/v1/runs/{source}").json()
    assert run["spec"] == before["spec"] | {"epochs": 8, "init_from": run["spec"]["init_from"]}
    assert run["provenance"]["init_from"] == {
        "run": source,
        "mode": "continue",
        "step": 15,
        "epochs": 3.0,
        "sha256": None,  # of a file without a checksum in its name
    }
    ancestor = {"run": source, "mode": "continue", "epochs": 3.0, "deleted": False}
    assert run["lineage"] == {"ancestors": [ancestor], "children": []}
    assert before["lineage"] == {"ancestors": [], "children": [run["id"]]}
    listed = {item["id"]: item for item in client.get("/api/v1/runs").json()["items"]}
    assert (listed[source], listed[run["id"]]) == (before, client.get(f"/api/v1/runs/{run['id']}").json())


def test_a_lineage_goes_back_to_the_first_run(client: TestClient, work: Any, system: System):
    first = trained(work, system)
    second = launched(client, spec={"init_from": {"run": first, "mode": "continue"}, "epochs": 8})["id"]
    work.train(second)
    third = launched(client, spec={**SMALL, "init_from": {"run": second}})
    assert [(item["run"], item["mode"]) for item in third["lineage"]["ancestors"]] == [
        (second, "weights"),
        (first, "continue"),
    ]
    client.post(f"/api/v1/runs/{third['id']}/cancel")
    assert client.delete(f"/api/v1/runs/{third['id']}").status_code == 200
    assert client.get(f"/api/v1/runs/{second}").json()["lineage"]["children"] == []
    assert client.delete(f"/api/v1/runs/{first}").status_code == 200
    (ancestor,) = client.get(f"/api/v1/runs/{second}").json()["lineage"]["ancestors"]
    assert (ancestor["run"], ancestor["deleted"]) == (first, True)


def test_a_continued_run_differs_in_epochs_evaluations_and_device_alone(client: TestClient, work: Any, system: System):
    source = trained(work, system)
    init_from = {"run": source, "mode": "continue"}
    spec = {"init_from": init_from, "epochs": 4}
    wrong = {
        "lambda_": 0.7,
        "seed": 1,
        "optimizer": {"key": "sgd"},
        "model": {"key": "mlp", "params": {"hidden": 8}},
        "early_stop": {"patience": 2},
    }
    errors = refused(client, spec | wrong)
    assert sorted(errors) == [
        "/spec/early_stop",
        "/spec/lambda_",
        "/spec/model/params/hidden",
        "/spec/optimizer/key",
        "/spec/seed",
    ]
    assert errors["/spec/lambda_"] == (
        f"run {source} has 0.1 here, and a run that continues it keeps that; got 0.7; to change it, start from its "
        'weights: init_from.mode "weights"'
    )
    assert list(refused(client, spec | {"init_from": init_from | {"freeze": ["1"]}})) == ["/spec/init_from/freeze"]
    assert list(refused(client, spec | {"init_from": init_from | {"head": "new"}})) == ["/spec/init_from/head"]
    assert list(refused(client, spec, {"seed": [0, 1]})) == ["/sweep/seed/1"]
    launched(client, spec=spec | {"device": "cpu", "evaluations": [{"key": "leakage"}]})


@pytest.mark.parametrize("epochs", [None, 1, 3])
def test_a_continued_run_has_more_epochs(client: TestClient, work: Any, system: System, epochs: int | None):
    source = trained(work, system)
    spec: dict[str, Any] = {"init_from": {"run": source, "mode": "continue"}}
    errors = refused(client, spec if epochs is None else spec | {"epochs": epochs})
    assert errors == {
        "/spec/epochs": f"expected at least 4: run {source} has trained 3 epochs, and these count; got {epochs or 3}"
    }


def test_only_the_further_epochs_have_a_price(client: TestClient, work: Any, system: System):
    source = trained(work, system)
    plain = asked(client, spec=SMALL | {"epochs": 5})
    told = asked(client, spec={"init_from": {"run": source, "mode": "continue"}, "epochs": 8})
    assert (told["steps"], told["steps_per_run"]) == (plain["steps"], [25])
    assert told["seconds"] == pytest.approx(plain["seconds"])
    warm = asked(client, spec=SMALL | {"epochs": 8, "init_from": {"run": source}})
    assert warm["steps"] == 40


def test_what_a_continued_run_will_do_is_said(client: TestClient, work: Any, system: System):
    source = trained(work, system)
    spec: dict[str, Any] = {"init_from": {"run": source, "mode": "continue"}, "epochs": 8}
    assert asked(client)["notes"] == []
    assert asked(client, spec=spec)["notes"] == [
        f"Continues run {source}, from its full state: 5 more epochs, up to epoch 8. Its curves are copied, and go on "
        "where they ended.",
        "Learning rate and λ go on as they were: on a CPU the run equals one of 8 epochs at once, bit for bit.",
    ]
    stretched = {
        "lr_schedule": {"key": "constant", "params": {"warm_up": 0.1}},
        "schedule": {"key": "cosine"},
        "early_stop": {"patience": 4},
    }
    source = trained(work, system, **stretched)
    spec["init_from"]["run"] = source
    assert asked(client, spec=spec)["notes"][1:] == [
        "Stretched to 8 epochs: the schedule of the learning rate (Constant) and the schedule of λ (Cosine). From here "
        "it is as after 3 of 8 epochs, so the run differs from one of 8 epochs at once.",
        "Early stopping goes on: the best epoch so far counts, and so do the epochs since.",
    ]


def test_a_stopped_run_is_continued_and_that_is_said(client: TestClient, work: Any, system: System):
    source = trained(work, system, steps=7, status=Status.CANCELLED)
    spec = {"init_from": {"run": source, "mode": "continue"}}
    assert asked(client, spec=spec)["steps"] == 8
    (first, _) = asked(client, spec=spec)["notes"]
    assert first.startswith(
        f"Continues run {source}, which was cancelled after 1.4 epochs, from its full state: 1.6 more"
    )
    launched(client, spec=spec)


def test_what_a_warm_start_will_do_is_said(client: TestClient, work: Any, system: System):
    source = trained(work, system)
    init_from = {
        "run": source,
        "freeze": ["features.*", "norm"],
        "head": "new",
        "head_learning_rate_factor": 10.0,
    }
    notes = asked(client, spec={"model": {"key": "cnn"}, "init_from": init_from})["notes"]
    assert notes == [
        f"Starts from the weights of run {source} after 3 epochs: those whose names and shapes fit are loaded; "
        "optimizer, schedules and curves begin anew.",
        f"Run {source} is of another network, MLP instead of Small CNN: the run fails if fewer than half of the "
        "weights fit.",
        "The last linear layer is drawn anew.",
        "The last linear layer learns at 10 times the learning rate.",
        "Not trained: parameters that match features.*, norm, and the statistics of their batch norms. The run fails "
        "if a pattern matches none.",
    ]


def test_patterns_of_layers_to_freeze_are_checked_where_the_names_are_known(
    client: TestClient, work: Any, system: System
):
    model = {"key": "mlp", "params": {"hidden": 64}}
    source = trained(work, system, model=model)
    with system.database.write() as session:
        runs.set_parameter_names(session, source, ["1.weight", "1.bias", "5.weight", "5.bias"])
    spec = SMALL | {"model": model, "init_from": {"run": source, "freeze": ["features.*"]}}
    assert refused(client, spec) == {
        "/spec/init_from/freeze": "no parameter of the model matches the freeze pattern 'features.*'; its parameters "
        "are 1.weight, 1.bias, 5.weight, 5.bias"
    }
    spec["init_from"]["freeze"] = ["1"]
    assert asked(client, spec=spec)["notes"][-1] == (
        "Not trained: 2 of 4 parameters, parameters that match 1, and the statistics of their batch norms."
    )
    spec["init_from"]["freeze"] = ["features.*"]
    another = spec | {"model": {"key": "mlp", "params": {"hidden": 32}}}
    assert asked(client, spec=another)["notes"][-1].endswith("The run fails if a pattern matches none.")


def test_seeds_cannot_be_added_to_a_continued_run_and_the_field_is_named(client: TestClient, work: Any, system: System):
    source = trained(work, system, seed=4)
    run = launched(client, spec={"init_from": {"run": source, "mode": "continue"}, "epochs": 8})
    answer = client.post(f"{LAUNCH}/{run['experiment']}/runs", json={"seeds": [5, 6]})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == "/seeds"
    assert error["detail"].startswith(
        f"run {source} has 4 here, and a run that continues it keeps that; got 5; to change"
    )


def test_runs_to_start_from_are_swept(client: TestClient, work: Any, system: System):
    first, second = trained(work, system), trained(work, system, seed=1)
    answer = client.post(
        LAUNCH, json={"spec": SMALL | {"init_from": None}, "sweep": {"init_from.run": [first, second]}}
    )
    assert answer.status_code == 202
    made = [client.get(f"/api/v1/runs/{run_id}").json() for run_id in answer.json()["runs"]]
    assert [run["provenance"]["init_from"]["run"] for run in made] == [first, second]
    sweep = {"init_from.run": [first, 99], "init_from.mode": ["weights"]}
    assert refused(client, SMALL, sweep) == {"/sweep/init_from.run/1": "there is no run 99"}


def test_runs_that_cannot_be_started_from_are_refused(client: TestClient, work: Any, system: System):
    (queued,) = work.launch(SMALL)
    (failed,) = work.launch(SMALL)
    work.end(work.start(failed), Status.FAILED, "a fault")
    for mode in ("weights", "continue"):
        for run_id, sentence in (
            (queued, f"run {queued} is queued: wait until it has ended"),
            (failed, f"run {failed} has no checkpoint: name one that has trained"),
            (77, "there is no run 77"),
        ):
            errors = refused(client, SMALL | {"epochs": 9, "init_from": {"run": run_id, "mode": mode}})
            assert errors == {"/spec/init_from/run": sentence}


def test_a_run_that_stopped_early_is_not_continued(client: TestClient, work: Any, system: System):
    source = trained(work, system, steps=10, early_stop={"patience": 1})
    errors = refused(client, {"init_from": {"run": source, "mode": "continue"}, "epochs": 9})
    assert "stopped early after 2 epochs" in errors["/spec/init_from/mode"]


@pytest.mark.parametrize("origin", ["imported", "logged"])
def test_a_run_without_a_state_is_not_continued(client: TestClient, work: Any, system: System, origin: str):
    source = trained(work, system)
    with system.database.write() as session:
        session.execute(update(RunRow).where(RunRow.id == source).values(origin=origin))
    errors = refused(client, {"init_from": {"run": source, "mode": "continue"}, "epochs": 9})
    assert "no state of a training to continue" in errors["/spec/init_from/mode"]
    launched(client, spec=SMALL | {"init_from": {"run": source}})


INTERFACE = {
    "mean": [0.5],
    "std": [0.25],
    "channel_order": "rgb",
    "value_range": "unit",
    "image_size": [32, 32],
    "outputs": 12,
    "class_order": [11, 10, 9, 8, 7, 6, 5, 4, 3, 2],
}
WITHOUT_OUTPUTS = INTERFACE | {"outputs": None, "class_order": None}
TAKEN = "by which images are normalised and resized"
OTHER = (
    "Run 1 has another `interface`: its network got images that were normalised or resized in another way than this "
    "run's."
)
NULL = '`"interface": null` takes what the data set has.'


@pytest.mark.parametrize(
    ("given", "interface", "sentence"),
    [
        ({}, INTERFACE, f"Has the `interface` of run 1, {TAKEN}; {NULL}"),
        (
            {"dataset": {"key": "textured_digits"}},
            WITHOUT_OUTPUTS,
            f"Has the `interface` of run 1, {TAKEN}, but no order of outputs, as its data set is another; {NULL}",
        ),
        ({"dataset": {"key": "cifar10"}}, None, OTHER),  # of three channels
        ({"dataset": {"key": "blockmnist"}, "interface": None}, None, OTHER),
        ({"interface": WITHOUT_OUTPUTS}, WITHOUT_OUTPUTS, OTHER),
    ],
)
def test_the_interface_is_taken_with_the_weights_where_it_fits_and_none_is_given(
    client: TestClient, work: Any, system: System, given: dict[str, Any], interface: Any, sentence: str
):
    assert trained(work, system, interface=INTERFACE) == 1
    spec = SMALL | {"init_from": {"run": 1}} | given
    (told,) = (note for note in asked(client, spec=spec)["notes"] if "`interface`" in note)
    assert told == sentence
    if spec.get("dataset", {}).get("key") != "cifar10":  # which is not prepared
        assert launched(client, spec=spec)["spec"]["interface"] == interface


def test_every_source_of_a_sweep_gives_its_own_interface(client: TestClient, work: Any, system: System):
    sources = [trained(work, system, interface=INTERFACE), trained(work, system, seed=1)]
    answer = client.post(LAUNCH, json={"spec": SMALL, "sweep": {"init_from.run": sources}})
    made = [client.get(f"/api/v1/runs/{run_id}").json() for run_id in answer.json()["runs"]]
    assert [run["spec"]["interface"] for run in made] == [INTERFACE, None]


@pytest.mark.parametrize(
    ("init_from", "pointer"),
    [
        ({"run": 0}, "/spec/init_from/run"),
        ({"run": "7", "mode": "continue"}, "/spec/init_from/run"),
        ({"mode": "continue"}, "/spec/init_from/run"),
        ({"run": 2**40, "mode": "continue"}, "/spec/init_from/run"),
        ({"run": 1, "mode": "resume"}, "/spec/init_from/mode"),
        ({"run": 1, "freeze": "features"}, "/spec/init_from/freeze"),
        ({"run": 1, "freeze": ["a b"]}, "/spec/init_from/freeze/0"),
        ({"run": 1, "head_learning_rate_factor": 0}, "/spec/init_from/head_learning_rate_factor"),
        (7, "/spec/init_from"),
    ],
)
def test_wrong_fields_are_named(client: TestClient, init_from: Any, pointer: str):
    assert list(refused(client, {"init_from": init_from})) == [pointer]


def test_a_run_is_kept_while_another_one_starts_from_it(client: TestClient, work: Any, system: System):
    source = trained(work, system)
    child = launched(client, spec=SMALL | {"init_from": {"run": source}})["id"]
    answer = client.delete(f"/api/v1/runs/{source}")
    sentence = (
        f"run {child}, which starts from run {source}, is queued or running: cancel it first, or wait for its end"
    )
    assert (answer.status_code, answer.json()["detail"]) == (409, sentence)
    bulk = client.post("/api/v1/bulk/runs", json={"action": "delete", "runs": [source], "dry_run": True}).json()
    assert bulk["outcomes"][0]["detail"] == sentence
    experiment = client.get(f"/api/v1/runs/{source}").json()["experiment"]
    assert client.delete(f"/api/v1/experiments/{experiment}").status_code == 409
    work.train(child)
    assert client.delete(f"/api/v1/runs/{source}").status_code == 200
    with system.database.read() as session:
        assert session.get_one(TaskRow, runs.train_task(session, child)).status == Status.SUCCEEDED


def test_specs_without_a_start_keep_their_hash(client: TestClient, work: Any):
    (run_id,) = work.launch({"epochs": 3, "seed": 7})
    assert client.get(f"/api/v1/runs/{run_id}").json()["provenance"]["spec_hash"] == "47c589d50563e33a"
