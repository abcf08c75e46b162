"""The pages of all experiments and of one, against a real API process."""

import uuid

import pytest

from backend.shared.contracts import ExperimentPatch
from tests.frontend.on_the_page import button, said

pytestmark = pytest.mark.timeout(120)
SMALL = {"epochs": 2, "evaluations": []}


@pytest.fixture
def sweep(live_api) -> int:
    """An experiment of two λ and two seeds: one run trained, one failed, one at work, one queued."""
    runs = live_api.launch(SMALL, {"lambda_": [0, 0.5], "seed": [0, 1]})
    live_api.finish(runs[0], accuracy__accuracy=0.9)
    live_api.fail(runs[1], "RuntimeError: the disk is full")
    live_api.start(runs[2])
    return live_api.client.run(runs[0]).experiment


def test_experiments_are_listed_newest_first_with_counts(page, sweep):
    app = page.open("experiments")
    text = said(app)
    assert f"experiment {sweep} " in text
    assert all(f"1 {state}" in text for state in ("succeeded", "failed", "running", "queued"))
    numbers = [int(item.value.split()[1]) for item in app.caption if item.value.startswith("experiment ")]
    assert numbers == sorted(numbers, reverse=True)


def test_experiments_are_searched_and_the_archived_ones_kept_apart(page, live_api, sweep):
    word = uuid.uuid4().hex
    live_api.client.change_experiment(sweep, ExperimentPatch(notes=f"about {word}"))
    assert f"experiment {sweep} " in said(page.open("experiments", search=word))
    live_api.client.change_experiment(sweep, ExperimentPatch(archived=True))
    app = page.open("experiments", search=word)
    assert "No experiment passes these filters" in said(app)
    assert f"experiment {sweep} " in said(app.toggle(key="archived_ones").set_value(True).run())
    app = app.switch_page("app_pages/runs.py").run()  # what was searched for here is not searched for there
    assert (app.text_input(key="q").value, app.toggle(key="archived").value) == ("", False)


def test_one_experiment_groups_its_seeds_and_draws_its_runs_together(page, sweep):
    app = page.open("experiment", experiment=str(sweep), metric="loss")
    text = said(app)
    assert "4 runs" in text and "the disk is full" in text
    groups, = (table.value for table in app.dataframe if "Group" in table.value)
    assert list(groups["Seeds"]) == ["0,1", "0,1"]
    assert groups["Runs"][0] == "1 ✓ succeeded, 1 ✕ failed"
    curves, = (table.value for table in app.dataframe if "loss" in table.value)
    assert len(curves) == 3 and set(curves["Step"]) == {10}


def test_a_failed_run_is_tried_again_and_the_rest_cancelled(page, live_api, sweep):
    app = button(page.open("experiment", experiment=str(sweep)), "Retry 1").click().run()
    said(app)
    assert live_api.client.experiment(sweep).counts == {"succeeded": 1, "running": 1, "queued": 2}
    said(button(app, "Cancel 3").click().run())
    assert live_api.client.experiment(sweep).counts.get("queued", 0) == 0


def test_notes_and_tags_are_edited_on_the_page(page, live_api, sweep):
    app = page.open("experiment", experiment=str(sweep))
    next(item for item in app.text_area if item.label == "Notes").set_value("why *not*")
    said(button(app, "Save").click().run())
    assert live_api.client.experiment(sweep).notes == "why *not*"


def test_deleting_asks_first_and_says_how_much_it_frees(page, live_api):
    run, = live_api.launch(SMALL)
    live_api.finish(run)
    experiment = live_api.client.run(run).experiment
    app = button(page.open("experiment", experiment=str(experiment)), "Delete").click().run()
    assert "7 B" in said(app)
    assert live_api.client.experiment(experiment).id == experiment


def test_seeds_and_weights_are_added(page, live_api, sweep):
    app = page.open("experiment", experiment=str(sweep))
    assert next(item for item in app.text_input if item.label == "More seeds").value == "2"
    said(app := button(app, "Add").click().run())
    assert [run.spec.lambda_ for run in live_api.client.runs_of(sweep) if run.spec.seed == 2] == [0, 0.5]
    next(item for item in app.text_input if item.label == "More seeds").set_value("some")
    assert "'some' is not a whole number" in said(button(app, "Add").click().run())


@pytest.mark.parametrize(("link", "answer"), [("999999", "There is no experiment 999999"), ("x", "not a number")])
def test_a_link_to_nothing_says_so(page, link, answer):
    assert answer in said(page.open("experiment", experiment=link))


def test_without_a_link_the_page_shows_the_way(page):
    assert "Choose an experiment" in said(page.open("experiment"))
