"""A run that a training loop elsewhere logged, on the pages that show runs."""

import pytest

from densitylab.frontend.charts.figures import MAX_OTHER_PANELS, panels_of
from densitylab.frontend.client import log_run
from tests.frontend.page_text import page_text

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def logged(live_api):
    run = log_run("My own loop", dataset="blockmnist", params={"lr": 0.1}, client=live_api.client)
    for step in range(1, 4):
        run.log({"train/my_loss": 1 / step}, step=step, loss=2 / step)
    run.flush(30)
    yield run
    run.finish()


def test_its_page_has_its_curves_and_settings(page, live_api, logged):
    app = page.open("run", run=str(logged.id))
    text = page_text(app)
    assert f"Run {logged.id}: My own loop" in text and "**logged training" in text
    assert "λ of its training: not known" in text
    tables = [frame.value for frame in app.dataframe]
    curves = next(table for table in tables if "step" in table.columns)
    assert list(curves["step"]) == [1, 2, 3] and {"loss", "train/my loss"} <= set(curves.columns)


def test_it_is_listed_compared_and_kept_off_the_lambda_axis(page, live_api, logged):
    (trained,) = live_api.train({"evaluations": []})
    experiment = str(live_api.client.run(logged.id).experiment)
    app = page.open("runs", experiment=experiment)
    page_text(app)
    assert list(app.dataframe[0].value["Run"]) == [logged.id]
    app = page.open("compare", runs=f"{trained},{logged.id}")
    page_text(app)
    assert "train/my_loss" in app.selectbox(key="left").options or "train/my loss" in app.selectbox(key="left").options
    page_text(app.selectbox(key="left").set_value("train/my_loss").run())
    page_text(page.open("experiment", experiment=experiment))


def test_curves_of_other_names_get_panels_of_their_own():
    titles = [panel.title for panel in panels_of(["loss", "b/x", "a/x", "lambda_"])]
    assert titles == ["Loss", "a/x", "b/x"]
    assert len(panels_of([f"curve_{number}" for number in range(100)])) == MAX_OTHER_PANELS
    assert [panel.title for panel in panels_of(["validation_accuracy", "penalty"])] == ["Accuracy", "Penalty"]
    (weights,) = panels_of([f"group_weight_{group}" for group in (0, 10, 2)])
    assert weights.metrics == ("group_weight_0", "group_weight_2", "group_weight_10")
