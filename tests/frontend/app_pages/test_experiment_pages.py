"""The pages of all experiments and of one, against a real API process."""

import uuid

import pytest

from densitylab.backend.shared.contracts import ExperimentPatch
from tests.frontend.page_text import button, page_text

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
    text = page_text(app)
    assert f"experiment {sweep} " in text
    assert all(f"1 {state}" in text for state in ("succeeded", "failed", "running", "queued"))
    numbers = [int(item.value.split()[1]) for item in app.caption if item.value.startswith("experiment ")]
    assert numbers == sorted(numbers, reverse=True)


def test_experiments_are_searched_and_the_archived_ones_kept_apart(page, live_api, sweep):
    word = uuid.uuid4().hex
    live_api.client.change_experiment(sweep, ExperimentPatch(notes=f"about {word}"))
    assert f"experiment {sweep} " in page_text(page.open("experiments", search=word))
    live_api.client.change_experiment(sweep, ExperimentPatch(archived=True))
    app = page.open("experiments", search=word)
    assert "No experiment matches these filters" in page_text(app)
    assert f"experiment {sweep} " in page_text(app.toggle(key="archived_ones").set_value(True).run())
    app = app.switch_page("app_pages/runs.py").run()  # what was searched for here is not searched for there
    assert (app.text_input(key="q").value, app.toggle(key="archived").value) == ("", False)


def test_one_experiment_groups_its_seeds_and_draws_its_runs_together(page, sweep):
    app = page.open("experiment", experiment=str(sweep), metric="loss")
    text = page_text(app)
    assert "4 runs" in text and "the disk is full" in text
    (groups,) = (table.value for table in app.dataframe if "Group" in table.value)
    assert list(groups["Seeds"]) == ["0,1", "0,1"]
    assert groups["Runs"][0] == "1 ✓ succeeded, 1 ✕ failed"
    (curves,) = (table.value for table in app.dataframe if "loss" in table.value)
    assert len(curves) == 3 and set(curves["Step"]) == {10}


def test_a_failed_run_is_tried_again_and_the_rest_cancelled(page, live_api, sweep):
    app = button(page.open("experiment", experiment=str(sweep)), "Retry 1").click().run()
    page_text(app)
    assert live_api.client.experiment(sweep).counts == {"succeeded": 1, "running": 1, "queued": 2}
    page_text(button(app, "Cancel 3").click().run())
    assert live_api.client.experiment(sweep).counts.get("queued", 0) == 0


def test_notes_and_tags_are_edited_on_the_page(page, live_api, sweep):
    app = page.open("experiment", experiment=str(sweep))
    next(item for item in app.text_area if item.label == "Notes").set_value("why *not*")
    page_text(button(app, "Save").click().run())
    assert live_api.client.experiment(sweep).notes == "why *not*"


def test_deleting_asks_first_and_says_how_much_it_frees(page, live_api):
    (run,) = live_api.launch(SMALL)
    live_api.finish(run)
    experiment = live_api.client.run(run).experiment
    app = button(page.open("experiment", experiment=str(experiment)), "Delete").click().run()
    assert "7 B" in page_text(app)
    assert live_api.client.experiment(experiment).id == experiment


def test_seeds_and_weights_are_added(page, live_api, sweep):
    app = page.open("experiment", experiment=str(sweep))
    assert next(item for item in app.text_input if item.label == "More seeds").value == "2"
    page_text(app := button(app, "Add").click().run())
    assert [run.spec.lambda_ for run in live_api.client.runs_of(sweep) if run.spec.seed == 2] == [0, 0.5]
    next(item for item in app.text_input if item.label == "More seeds").set_value("some")
    assert "'some' is not a whole number" in page_text(button(app, "Add").click().run())


@pytest.mark.parametrize(("link", "answer"), [("999999", "There is no experiment 999999"), ("x", "not a valid id")])
def test_a_link_to_nothing_says_so(page, link, answer):
    assert answer in page_text(page.open("experiment", experiment=link))


def test_without_a_link_the_page_shows_the_way(page):
    assert "Choose an experiment" in page_text(page.open("experiment"))
