"""A search with Optuna, from the launch form to the experiment's page."""

import pandas as pd
import pytest

from densitylab.backend.services import searches
from tests.frontend.app_pages.test_launch_page import ending
from tests.frontend.conftest import CATALOG
from tests.frontend.page_text import page_text

pytestmark = pytest.mark.timeout(180)
SEARCH = {
    "kind": "optuna",
    "parameters": [{"type": "number", "path": "lambda_", "low": 0.01, "high": 10, "log": True}],
    "objectives": [
        {"result": "pgd_linf.accuracy", "direction": "maximize"},
        {"result": "accuracy.accuracy", "direction": "maximize"},
    ],
    "trials": 3,
    "parallel": 2,
}


def test_a_search_is_set_up_in_rows_launched_and_copied(page, live_api):
    app = page.open("launch")
    ending(app.number_input, "/epochs").set_value(2).run()
    ending(app.text_input, "/seeds").set_value("0, 1").run()
    app = ending(app.toggle, "/search").set_value(True).run()
    app = ending(app.button_group, "/search/kind").set_value("optuna").run()
    page_text(app)
    parameters = ending(app.multiselect, "/search/parameters")
    assert {"λ", "Batch size", "Optimizer: Learning rate"} <= set(parameters.options)
    app = parameters.set_value(["lambda_", "optimizer.params.lr", "regularizer.params.power"]).run()
    page_text(app)
    app = ending(app.number_input, "lambda_/high").set_value(0.0001).run()
    app = ending(app.number_input, "/search/trials").set_value(7).run()
    assert ending(app.button, "launch-button").disabled
    assert "expected a number above low" in page_text(app)  # beside the row
    app = ending(app.number_input, "lambda_/high").set_value(5.0).run()
    app = ending(app.button, "launch-button").click().run()
    text = page_text(app)
    experiment = live_api.client.experiments().items[0]
    request = experiment.request["search"]
    assert request["kind"] == "optuna" and request["trials"] == 7 and request["seeds"] == [0, 1]
    lambdas = {"type": "number", "path": "lambda_", "low": 0.001, "high": 5.0, "log": True, "step": None}
    assert request["parameters"][0] == lambdas
    assert request["parameters"][2]["choices"] == [1, 2]
    assert "Search with Optuna" in text and "8 runs of at most 14" in text
    assert "4 of 4 trials are not done" in text
    app = page.open("experiment", experiment=str(experiment.id))
    app = ending(app.button, "stop-search").click().run()
    assert "It was stopped by request." in page_text(app)
    copied = page.open("launch", **{"from": str(experiment.id)})
    assert ending(copied.number_input, "lambda_/high").value == 5.0
    assert ending(copied.number_input, "/search/trials").value == 7


def test_the_page_shows_trials_with_the_pareto_front_and_offers_the_study(page, live_api):
    spec = {"epochs": 2, "evaluations": [{"key": "pgd_linf"}]}
    experiment = live_api.client.launch({"name": "pareto", "spec": spec, "search": SEARCH})
    for run_id, robust, accuracy in zip(experiment.runs, (0.2, 0.4), (0.9, 0.8), strict=True):
        live_api.finish(run_id, pgd_linf_validation__accuracy=robust, accuracy_validation__accuracy=accuracy)
    searches.advance(live_api.database, CATALOG, experiment.id)
    state = live_api.client.search(experiment.id)
    assert [item.values for item in state.candidates] == [[0.2, 0.9], [0.4, 0.8], [None, None]]
    assert [item.best for item in state.candidates] == [True, True, False]
    app = page.open("experiment", experiment=str(experiment.id))
    text = page_text(app)
    assert "3 runs of at most 3" in text and "no other trial is at least as good" in text
    table: pd.DataFrame = next(item.value for item in app.dataframe if "Trial" in item.value)
    assert list(table["Pareto front"]) == ["yes", "yes", ""] and list(table["State"]) == ["complete"] * 2 + ["running"]
    assert list(table["pgd_linf.accuracy, validation"][:2]) == ["0.200", "0.400"]
    assert live_api.client.search_study(experiment.id).startswith(b"SQLite format 3")
