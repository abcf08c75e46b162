"""The table of all runs: filters, order, columns, groups and the count."""

import pytest

from densitylab.backend.shared.contracts import ExperimentPatch, RunsRequest
from tests.frontend.page_text import button, page_text

pytestmark = pytest.mark.timeout(120)
SMALL = {"epochs": 2, "evaluations": []}


@pytest.fixture
def experiment(live_api) -> int:
    """λ 0, 0.1 and 1 with two seeds each, and accuracies from 0.5 to 0.75."""
    runs = live_api.launch(SMALL, {"lambda_": [0, 0.1, 1], "seed": [0, 1]})
    for index, run_id in enumerate(runs):
        live_api.finish(run_id, accuracy__accuracy=0.5 + index / 20)
    return live_api.client.run(runs[0]).experiment


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ({"lambda_min": "0.05"}, {(0.1, 0), (0.1, 1), (1, 0), (1, 1)}),
        ({"lambda_max": "0.1", "seeds": "1"}, {(0, 1), (0.1, 1)}),
        ({"seeds": "0, 1"}, {(x, seed) for x in (0, 0.1, 1) for seed in (0, 1)}),
        ({"above": "0.62", "result": "accuracy.accuracy"}, {(0.1, 1), (1, 0), (1, 1)}),
        ({"above": "0.52", "below": "0.62"}, {(0, 1), (0.1, 0)}),
    ],
)
def test_runs_are_filtered_by_weight_seed_and_result(page, experiment, link, expected):
    app = page.open("runs", experiment=str(experiment), **link)
    text = page_text(app)
    shown = app.dataframe[0].value
    assert set(zip(shown["λ"], shown["Seed"], strict=True)) == expected
    assert f"{len(expected)} runs in all." in text


def test_a_seed_that_cannot_be_read_is_said(page, experiment):
    assert "'x' is not a whole number" in page_text(page.open("runs", experiment=str(experiment), seeds="x"))


def test_a_running_run_stands_first_and_the_count_says_what_is_not_shown(page, live_api):
    runs = live_api.launch(SMALL, {"seed": list(range(55))})
    live_api.start(runs[0])
    experiment = str(live_api.client.run(runs[0]).experiment)
    app = page.open("runs", experiment=experiment)
    assert "55 runs in all, 51 of them shown." in page_text(app)
    assert app.dataframe[0].value["Run"].iloc[0] == runs[0]
    app = button(app, "Show more").click().run()
    assert "55 runs in all." in page_text(app) and app.dataframe[0].value["Run"].is_unique
    oldest_first = page.open("runs", experiment=experiment).selectbox(key="sort").set_value("id").run()
    page_text(oldest_first)
    assert list(oldest_first.dataframe[0].value["Run"]) == runs


def tick(app, *rows: int, version: int = 0):
    app.session_state[f"runs-table-{version}"] = {"selection": {"rows": list(rows), "columns": [], "cells": []}}
    return app.run()


def test_rows_stay_while_any_are_selected(page, live_api):
    runs = live_api.launch(SMALL, {"seed": list(range(60))})
    experiment = live_api.client.run(runs[0]).experiment
    app = page.open("runs", experiment=str(experiment))
    before = app.dataframe[0].value
    number = before["Run"].iloc[49]
    app = tick(app, 49)
    assert not button(app, "Cancel 1").disabled
    live_api.client.add_runs(experiment, RunsRequest(seeds=[100, 101]))
    live_api.start(runs[0])  # the first that has a time left: a column of its own
    live_api.client.cancel_run(number)
    app = app.run()
    assert app.dataframe[0].value.equals(before)
    assert button(app, "Cancel 0").disabled and not button(app, "Retry 1").disabled  # the buttons know
    assert "The table stays as it is while rows are selected; 3 newer runs hidden." in page_text(app)
    assert button(app, "Show more").disabled
    app = button(app, "Clear the selection").click().run()
    assert app.dataframe[0].value["Run"].iloc[0] == runs[0] and "stays as it is" not in page_text(app)
    app = button(app, "Show more").click().run()
    table = app.dataframe[0].value.set_index("Run")
    assert len(table) == 62 and "cancelled" in table["Status"][number]


def test_an_action_clears_the_selection(page, live_api):
    runs = live_api.launch(SMALL, {"seed": [0, 1, 2]})
    app = tick(page.open("runs", experiment=str(live_api.client.run(runs[0]).experiment)), 0, 1)
    app = button(app, "Cancel 2").click().run()
    assert "stays as it is" not in page_text(app) and button(app, "Cancel 0").disabled
    statuses = list(app.dataframe[0].value["Status"])
    assert ["cancelled" in status for status in statuses] == [True, True, False]


def test_a_change_of_columns_clears_the_selection(page, live_api):
    runs = live_api.launch(SMALL, {"seed": [0, 1, 2]})
    app = tick(page.open("runs", experiment=str(live_api.client.run(runs[0]).experiment)), 0)
    assert "stays as it is" in page_text(app)
    app = app.multiselect(key="columns").select("Seed").run()  # the browser may lose the order of the rows
    assert "stays as it is" not in page_text(app)


def test_a_selection_ends_with_its_rows(page, live_api):
    runs = live_api.launch(SMALL, {"seed": [0, 1, 2]})
    experiment = live_api.client.run(runs[0]).experiment
    app = tick(page.open("runs", experiment=str(experiment)), 0)
    page_text(app.selectbox(key="sort").set_value("id").run())  # other rows at the same positions
    assert {item.label: item.disabled for item in app.button}["Cancel 0"]
    app = tick(page.open("runs", experiment=str(experiment)), 0)
    live_api.finish(runs[1])
    live_api.client.delete_run(runs[1])
    app = app.run()
    assert "stays as it is" not in page_text(app) and len(app.dataframe[0].value) == 2


def test_columns_are_chosen_in_the_link(page, experiment):
    app = page.open("runs", experiment=str(experiment), columns="λ")
    page_text(app)
    order = app.dataframe[0].proto.column_order
    assert list(order) == ["Status", "Run", "λ"]


def test_runs_are_grouped_under_the_name_of_their_experiment(page, live_api, experiment):
    live_api.client.change_experiment(experiment, ExperimentPatch(name="A sweep"))
    app = page.open("runs", experiment=str(experiment), grouped="true")
    page_text(app)
    assert list(app.dataframe[0].value["Name of the experiment"]) == ["A sweep", "", "", "", "", ""]


def test_experiments_show_their_results(page, live_api, experiment):
    live_api.client.change_experiment(experiment, ExperimentPatch(notes="findme-results"))
    text = page_text(page.open("experiments", search="findme-results")).replace("\\", "")
    assert "Test accuracy: 0.525 to 0.725 (means of 3 groups)" in text


def test_rarer_filters_are_in_a_popover_that_says_how_many_are_set(page, experiment):
    app = page.open("runs", experiment=str(experiment), seeds="1")
    page_text(app)
    labels = [block.proto.popover.label for block in app.main if block.type == "popover"]
    assert labels[0] == "2 more filters" and "Columns" in labels
    assert "Progress" not in app.dataframe[0].value  # all runs are done


def test_the_buttons_for_selected_rows_are_there_before_one_is_selected(page, experiment):
    app = page.open("runs")
    buttons = {item.label.rstrip(" 0123456789"): item.disabled for item in app.button}
    names = ("Open", "Compare", "Maps of", "Clone", "Cancel", "Retry", "Archive", "Delete")
    assert all(buttons[name] for name in names)
    captions = len(app.caption)
    app = tick(app, 0)
    assert len(app.caption) == captions
    after = {item.label.rstrip(" 0123456789"): item.disabled for item in app.button}
    assert after.keys() >= buttons.keys() and not after["Open"] and not after["Archive"]
