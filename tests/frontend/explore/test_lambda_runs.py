"""The choice of the runs of the λ slider, against a real API process."""

import pytest
from streamlit.testing.v1 import AppTest

pytestmark = pytest.mark.timeout(120)


def script() -> None:
    from densitylab.frontend.explore.lambda_runs import choose_runs_over_lambda

    choose_runs_over_lambda()


@pytest.mark.usefixtures("page")
def test_what_is_missing_stands_on_the_page_and_not_in_the_sidebar(live_api):
    (run,) = live_api.train({"evaluations": []})
    app = AppTest.from_function(script, default_timeout=30)
    app.query_params["experiment"] = str(live_api.client.run(run).experiment)
    app.run()
    assert not app.exception, app.exception[0].value
    assert any("at least two trained runs that differ in λ" in item.value for item in app.main.info)
    assert not app.sidebar.info and app.sidebar.selectbox[0].label == "Experiment"


@pytest.mark.usefixtures("page")
def test_it_begins_with_the_newest_experiment_that_has_two_lambdas(live_api):
    trained = live_api.train({"evaluations": []}, {"lambda_": [0, 1]})
    live_api.train({"evaluations": []})
    for run in live_api.launch({"evaluations": []}, {"lambda_": [0, 1]}):
        live_api.client.cancel_run(run)
    app = AppTest.from_function(script, default_timeout=30).run()
    assert not app.exception, app.exception[0].value
    assert not app.main.info
    assert app.sidebar.selectbox[0].value == live_api.client.run(trained[0]).experiment
