"""The pages of all experiments and of one, against a real API process."""

import uuid

import pytest
from sqlalchemy import select, update

from densitylab.backend.shared.contracts import ExperimentPatch, RunsRequest
from densitylab.backend.shared.tables import TaskRow
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
    assert list(groups["Seeds"]) == ["0–1", "0–1"]
    assert groups["Runs"][0] == "1 ✓ succeeded, 1 ✕ failed"
    assert list(groups["Progress"].isna()) == [True, False]  # nothing goes on in the first group, which is incomplete
    (curves,) = (table.value for table in app.dataframe if "loss" in table.value)
    assert len(curves) == 3 and set(curves["Step"]) == {10}


def test_a_failed_run_is_tried_again_and_the_rest_cancelled(page, live_api, sweep):
    app = button(page.open("experiment", experiment=str(sweep)), "Retry 1").click().run()
    page_text(app)
    assert live_api.client.experiment(sweep).counts == {"succeeded": 1, "running": 1, "queued": 2}
    page_text(button(app, "Cancel 3").click().run())
    assert live_api.client.experiment(sweep).counts.get("queued", 0) == 0


def test_cancelling_many_runs_asks_first(page, live_api):
    run_ids = live_api.launch(SMALL, {"seed": list(range(6))})
    experiment = live_api.client.run(run_ids[0]).experiment
    app = button(page.open("experiment", experiment=str(experiment)), "Cancel 6").click().run()
    assert (
        f"Cancel 6 runs ({', '.join(map(str, run_ids))})?" in page_text(app)
        and not button(app, "Cancel 6 runs").disabled
    )
    assert live_api.client.experiment(experiment).counts == {"queued": 6}


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


def adding(page, experiment: int):
    app = page.open("experiment", experiment=str(experiment))
    app.session_state["adding"] = True  # the popover is open
    return app.run()


def field(app, label: str):
    return next(item for item in app.text_input if item.label == label)


def test_the_runs_that_new_seeds_add_and_their_price_stand_before_the_click(page, live_api, sweep):
    app = adding(page, sweep)
    assert field(app, "More seeds").value == "2"
    text = page_text(field(app, "More seeds").set_value("1, 2, 3").run())
    assert "**4 new runs**" in text and "2 runs with these settings exist already" in text
    assert "- Marginal-density smoothing, λ = 0: seeds 2, 3 (2 runs)" in text
    assert "- Marginal-density smoothing, λ = 0.5: seeds 2, 3 (2 runs)" in text
    assert "Training ≈" in text and "evaluations ≈" in text and "0 training workers" in text
    page_text(button(app, "Add 4 runs").click().run())
    added = [(run.spec.lambda_, run.spec.seed) for run in live_api.client.runs_of(sweep) if run.spec.seed > 1]
    assert added == [(0, 2), (0, 3), (0.5, 2), (0.5, 3)]


def test_new_weights_are_added_with_all_seeds(page, live_api, sweep):
    app = adding(page, sweep)
    app = app.segmented_control(key="adding/kind").set_value("λ").run()
    assert field(app, "More λ").value == "5"
    text = page_text(field(app, "More λ").set_value("2, 4").run())
    assert "λ = 2: seeds 0, 1 (2 runs)" in text and "λ = 4: seeds 0, 1 (2 runs)" in text
    page_text(button(app, "Add 4 runs").click().run())
    added = [(run.spec.lambda_, run.spec.seed) for run in live_api.client.runs_of(sweep) if run.spec.lambda_ > 0.5]
    assert added == [(2, 0), (2, 1), (4, 0), (4, 1)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("some", "'some' is not a whole number"), ("-1", "of at least 0; got -1"), ("0, 1", "**0 new runs**")],
)
def test_seeds_that_add_nothing_cannot_be_added(page, sweep, text, sentence):
    app = field(adding(page, sweep), "More seeds").set_value(text).run()
    assert sentence in page_text(app)
    assert all(item.disabled for item in app.button if item.label.startswith("Add "))


def select_groups(app, experiment: int, *rows: int, version: int = 0):
    app.session_state[f"groups-{experiment}-{version}"] = {
        "selection": {"rows": list(rows), "columns": [], "cells": []}
    }
    return app.run()


def test_selected_groups_alone_are_cancelled_tried_again_and_added_to(page, live_api, sweep):
    runs = [run.id for run in live_api.client.runs_of(sweep)]  # of λ = 0 and 0.5
    app = select_groups(page.open("experiment", experiment=str(sweep)), sweep, 1)
    assert "stays as it is while rows are selected" in page_text(app)
    assert {"Cancel 2 runs", "Retry 0"} <= {item.label for item in app.button}
    app = button(app, "Cancel 2 runs").click().run()
    assert "stays as it is" not in page_text(app)  # nothing is selected any more
    assert live_api.client.run(runs[3]).status == "cancelled" and live_api.client.run(runs[0]).status == "succeeded"
    app.session_state["adding-to-groups"] = True  # the popover is open
    app = select_groups(app, sweep, 1, version=1)
    text = page_text(field(app, "More seeds").set_value("7").run())
    assert "λ = 0.5: seed 7 (1 run)" in text and "λ = 0: seed" not in text
    page_text(app.button(key="adding-to-groups/add").click().run())
    assert [run.spec.lambda_ for run in live_api.client.runs_of(sweep) if run.spec.seed == 7] == [0.5]


def test_groups_whose_runs_are_all_cancelled_get_no_more_seeds(page, live_api):
    runs = live_api.launch(SMALL, {"lambda_": [0, 0.5]})
    number = live_api.client.run(runs[0]).experiment
    live_api.client.cancel_run(runs[0])
    app = adding(page, number)
    assert "1 group left out: all runs are cancelled" in page_text(app) and "**1 new run**" in page_text(app)
    page_text(button(app, "Add 1 run").click().run())
    assert [run.spec.lambda_ for run in live_api.client.runs_of(number) if run.spec.seed == 1] == [0.5]


def test_groups_keep_their_rows_while_one_is_selected(page, live_api, sweep):
    app = select_groups(page.open("experiment", experiment=str(sweep)), sweep, 1)
    live_api.client.add_runs(sweep, RunsRequest(lambdas=[0.1]))
    app = app.run()
    (groups,) = (table.value for table in app.dataframe if "Group" in table.value)
    assert [name.rpartition(" ")[2] for name in groups["Group"]] == ["0", "0.5"]
    assert "1 newer group hidden" in page_text(app) and "Cancel 2 runs" in {item.label for item in app.button}
    app = select_groups(app, sweep)
    (groups,) = (table.value for table in app.dataframe if "Group" in table.value)
    assert len(groups) == 3 and "is kept" not in page_text(app)


def test_the_time_left_is_the_same_on_every_page(page, live_api, sweep):
    experiment = live_api.client.experiment(sweep)
    with live_api.database.write() as session:
        running = session.scalars(
            select(TaskRow).where(TaskRow.run_id.in_(experiment.runs), TaskRow.status == "running")
        ).one()
        running.eta_seconds, running.progress, running.started_at = 3600.0, 0.5, running.started_at - 3600
        session.execute(update(TaskRow).values(expected_seconds=None))
    # One run has an hour left, and the one that waits takes two; the one that was trained has been evaluated in 0.5 s
    expected = "about 3 h 00 min left"
    assert expected in str([item.text for item in page.open("experiment", experiment=str(sweep)).get("progress")])
    assert expected in str([item.text for item in page.open("experiments").get("progress")])
    assert expected in str([item.text for item in page.open("compare", experiment=str(sweep)).get("progress")])
    assert expected in str([item.text for item in page.open("home").get("progress")])


@pytest.mark.parametrize(("link", "answer"), [("999999", "There is no experiment 999999"), ("x", "not a valid id")])
def test_a_link_to_nothing_says_so(page, link, answer):
    assert answer in page_text(page.open("experiment", experiment=link))


def test_without_a_link_the_page_shows_the_way(page):
    assert "Choose an experiment" in page_text(page.open("experiment"))
