"""The home page: what is at work, the newest results, and the demo where nothing has run yet."""

import time

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Button, Header

from densitylab.backend.shared.contracts import QueueName, Readiness, Status, TaskKind
from densitylab.frontend.ui.home import system_line
from tests.frontend.page_text import page_text, plain

pytestmark = pytest.mark.timeout(120)


def order(app: AppTest, *words: str) -> list[int]:
    """Return the places of these headings and buttons on the page."""
    parts = [
        item.label if isinstance(item, Button) else item.value if isinstance(item, Header) else "" for item in app.main
    ]
    return [parts.index(word) for word in words]


def test_an_empty_system_offers_the_demo_first(page, empty_api):
    app = page.open("home")
    assert "No runs yet" in page_text(app)
    demo, recent = order(app, "Launch the demo", "Recent runs")
    assert demo < recent


def test_what_is_at_work_the_newest_results_and_then_the_rest(page, empty_api):
    done = empty_api.launch({"epochs": 2, "evaluations": []}, {"lambda_": [0, 1], "seed": [0, 1]})
    for index, run_id in enumerate(done):
        empty_api.finish(run_id, accuracy__accuracy=0.5 + index / 10)
    (alone,) = empty_api.launch({"epochs": 2, "evaluations": []})  # newer, with nothing to compare
    empty_api.finish(alone, accuracy__accuracy=0.9)
    running = empty_api.launch({"epochs": 2, "evaluations": []}, {"seed": [0, 1, 2]})
    empty_api.start(running[0])
    app = page.open("home")
    text = page_text(app)
    places = order(app, "Now", "Newest results", "Recent runs", "Launch the demo")
    assert places == sorted(places)
    assert "runs: 2 queued, 1 training" in text
    # With the preparation of the data set, and three accuracies that wait for their runs
    assert "tasks, evaluations and maps included: 6 queued, 1 running" in text
    assert "- **Test accuracy:** " in text and "% trained" in str([item.text for item in app.get("progress")])


def test_the_three_newest_experiments_with_results_and_one_chart(page, empty_api):
    for accuracy, sweep in ((0.5, {"lambda_": [0, 1]}), (0.6, {"lambda_": [0, 1]}), (0.7, None), (0.8, None)):
        for run_id in empty_api.launch({"epochs": 2, "evaluations": []}, sweep):
            empty_api.finish(run_id, accuracy__accuracy=accuracy)
    for run_id in empty_api.launch({"epochs": 2, "evaluations": []}, {"seed": [0, 1]}):
        empty_api.client.cancel_run(run_id)
    app = page.open("home")
    text = page_text(app)
    links = [(item.proto.label, item.proto.query_string) for item in app.get("page_link")]
    assert [query for _, query in links if query.startswith("experiment=")] == [
        "experiment=4",
        "experiment=3",
        "experiment=2",
        "experiment=4%2C3%2C2",
    ]
    assert "Test accuracy\\: 0.8" in text and "Test accuracy\\: 0.7" in text and "Test accuracy\\: 0.5" not in text
    assert len([item for item in links if "Studies" in item[0]]) == 1
    assert len(app.get("bidi_component")) > 0


def test_the_selected_lambda_stands_first_and_leads_the_best_method(page, empty_api):
    attack = {"key": "pgd_linf", "params": {"epsilons": [0.05]}}
    spec = {"epochs": 2, "evaluations": [attack, {**attack, "split": "validation", "name": "pgd_linf_validation"}]}
    for run_id in empty_api.launch(spec, {"lambda_": [0, 1, 3], "seed": [0, 1]}):
        robust = {0: 0.1, 1: 0.5, 3: 0.4}[empty_api.client.run(run_id).spec.lambda_]
        attacked = {"pgd_linf__accuracy": robust, "pgd_linf_validation__accuracy": robust}
        empty_api.finish(run_id, accuracy__accuracy=0.9, **attacked)
    text = plain(page_text(page.open("home")))
    selected = "- **Best PGD accuracy, L∞ ε = 0.05 at ≤ 2 points accuracy loss on test images:** Selected: λ 1."
    assert selected in text and text.index(selected) < text.index("- **Test accuracy:**")


def test_what_is_evaluated_while_nothing_trains(page, empty_api):
    (run,) = empty_api.launch({"epochs": 2, "evaluations": []})
    held = empty_api.start(run)
    empty_api.end(held, Status.SUCCEEDED)
    empty_api.newest_task(TaskKind.EVALUATE)
    app = page.open("home")
    assert f"of run {run}\\: 0%" in page_text(app) or f"of run {run}: 0%" in page_text(app)
    assert "0 of 1 evaluations done" in str([item.text for item in app.get("progress")])


def test_evaluations_that_are_never_made_do_not_count(page, empty_api):
    """Of three runs one is trained, one queued and one cancelled; each has an evaluation."""
    trained, _, cancelled = empty_api.launch({"epochs": 2, "evaluations": []}, {"seed": [0, 1, 2]})
    empty_api.finish(trained, accuracy__accuracy=0.9)
    empty_api.client.cancel_run(cancelled)
    experiment = str(empty_api.client.run(trained).experiment)
    for app in (page.open("home"), page.open("experiment", experiment=experiment)):
        assert "1 of 2 evaluations done" in str([item.text for item in app.get("progress")])
    app = page.open("compare", experiment=experiment)
    assert "1 of 2 evaluations done" in str([item.text for item in app.get("progress")])


@pytest.mark.parametrize(("age", "expected"), [(1.0, True), (59.0, True), (61.0, False)])
def test_missing_workers_are_no_warning_in_the_first_minute(monkeypatch, age, expected):
    monkeypatch.setattr(system_line, "first_seen", lambda: time.monotonic() - age)
    none = Readiness(status="degraded", database="ok", broker="ok", workers={}, queued=0, running=0)
    every = none.model_copy(update={"workers": dict.fromkeys(QueueName, 1)})
    assert system_line.starting(none) is expected and not system_line.starting(every)
