"""A run is measured when its evaluations have ended, an experiment finished when its runs have: told once each."""

import threading
from typing import Any

from fastapi.testclient import TestClient

from densitylab.backend.shared.contracts import EvaluationSpec, Status
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.store import evaluations, events, tasks
from densitylab.backend.shared.tables import TaskRow

TWO = {"evaluations": [{"key": "pgd_linf"}]}  # with the accuracy


def told(database: Database, *names: str) -> list[tuple[str, int]]:
    with database.read() as session:
        found = map(events.answer, events.since(session, 0))
        return [(item.type, item.run) for item in found if item.type in names]


def test_a_run_is_measured_after_its_last_evaluation(client: TestClient, work: Any, database: Database):
    run_id, other = work.launch(TWO, {"seed": [0, 1]})
    work.train(run_id)
    run = client.get(f"/api/v1/runs/{run_id}").json()
    assert (run["measured"], run["evaluation_counts"]) == (False, {"queued": 2})
    work.finish_evaluations(run_id)
    run = client.get(f"/api/v1/runs/{run_id}").json()
    assert (run["measured"], run["evaluation_counts"]) == (True, {"succeeded": 2})
    assert client.get("/api/v1/runs").json()["items"][1] == run
    assert told(database, "run.measured", "experiment.finished") == [("run.measured", run_id)]
    experiment = client.get(f"/api/v1/experiments/{run['experiment']}").json()
    assert (experiment["finished"], experiment["evaluation_counts"]) == (False, {"succeeded": 2, "queued": 2})
    client.post(f"/api/v1/runs/{other}/cancel")
    experiment = client.get(f"/api/v1/experiments/{run['experiment']}").json()
    assert (experiment["finished"], experiment["evaluation_counts"]) == (True, {"succeeded": 2, "cancelled": 2})
    assert told(database, "run.measured", "experiment.finished") == [
        ("run.measured", run_id),
        ("experiment.finished", other),
    ]


def test_a_failed_training_is_not_measured_and_ends_its_experiment(client: TestClient, work: Any, database: Database):
    (run_id,) = work.launch(TWO)
    work.end(work.start(run_id), Status.FAILED, "diverged")
    assert told(database, "run.measured", "experiment.finished") == [("experiment.finished", run_id)]
    assert client.get(f"/api/v1/runs/{run_id}").json()["measured"] is False


def test_an_evaluation_that_is_added_later_is_told_again(client: TestClient, work: Any, database: Database):
    (run_id,) = work.launch({"evaluations": []})
    work.train(run_id)
    work.finish_evaluations(run_id)
    with database.write() as session:
        evaluations.create(session, run_id, EvaluationSpec(key="pgd_linf"))
    assert client.get(f"/api/v1/runs/{run_id}").json()["measured"] is False
    work.finish_evaluations(run_id)
    assert client.get(f"/api/v1/runs/{run_id}").json()["measured"] is True
    assert told(database, "run.measured") == [("run.measured", run_id)] * 2


def test_an_evaluation_of_a_cancelled_training_is_run_by_itself(client: TestClient, work: Any, database: Database):
    (run_id,) = work.launch({"evaluations": []})
    held = work.start(run_id)
    work.checkpoint(held)
    work.end(held, Status.CANCELLED)
    assert client.post(f"/api/v1/runs/{run_id}/evaluations", json={"key": "accuracy"}).status_code == 202
    with database.read() as session:
        (evaluation,) = evaluations.of_run(session, run_id)
        task = session.get_one(TaskRow, evaluation.task)
        assert (task.status, task.after_task) == (Status.QUEUED, None)
    client.post(f"/api/v1/runs/{run_id}/retry")  # of the training, whose evaluation is queued already
    assert [name for name, _ in told(database, "evaluation.queued")] == ["evaluation.queued"]
    work.finish_evaluations(run_id)
    work.train(run_id)
    assert told(database, "run.measured") == [("run.measured", run_id)]


def test_tasks_that_end_in_the_same_moment_are_told_once(work: Any, database: Database):
    run_ids = work.launch(TWO, {"seed": list(range(6))})
    for run_id in run_ids:
        work.train(run_id)
    with database.read() as session:
        waiting = [item.task for run_id in run_ids for item in evaluations.of_run(session, run_id)]
    claims = [work.claim(task) for task in waiting]
    start = threading.Barrier(len(claims))

    def finish(claim: tasks.Claim) -> None:
        start.wait(30)
        with database.write() as session:
            tasks.finish(session, claim, Status.SUCCEEDED)

    threads = [threading.Thread(target=finish, args=[claim]) for claim in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    measured = told(database, "run.measured")
    assert sorted(measured) == [("run.measured", run_id) for run_id in run_ids]
    assert len(told(database, "experiment.finished")) == 1
