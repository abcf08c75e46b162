"""The button of Compare and of a study's page that makes a frozen page."""

import io
import zipfile

import pytest
from streamlit.testing.v1 import AppTest

from densitylab.frontend.report import experiment_report
from tests.frontend.page_text import page_text

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(autouse=True)
def impatient(monkeypatch) -> None:
    """No worker draws maps in these tests."""
    monkeypatch.setattr(experiment_report, "MAP_PATIENCE", 0.0)


def freeze(app: AppTest) -> AppTest:
    return next(item for item in app.button if item.label == "Make a frozen page").click().run()


def test_compare_makes_the_page_of_an_experiment(page, live_api):
    (run,) = live_api.train({"evaluations": []})
    number = live_api.client.run(run).experiment
    app = freeze(page.open("compare", experiment=str(number)))
    page_text(app)
    name, content = app.session_state["frozen"]
    assert name == f"experiment-{number}"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {f"{name}/index.html", f"{name}/runs/{run}.html"} <= set(archive.namelist())
    assert "Download the frozen page" in [item.label for item in app.get("download_button")]


def test_a_study_has_its_page(page, leakage_study):
    app = freeze(page.open("studies", study=str(leakage_study.id)))
    page_text(app)
    name, content = app.session_state["frozen"]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert b"Feature leakage" in archive.read(f"{name}/index.html")


def test_an_experiment_without_results_says_why_there_is_no_page(page, live_api):
    (run,) = live_api.launch({"evaluations": []})
    number = live_api.client.run(run).experiment
    app = freeze(page.open("compare", experiment=str(number)))
    assert [item.value for item in app.error] == [
        f"Experiment {number} has no results yet\\: freeze it once a run has been evaluated."
    ]
    assert "frozen" not in app.session_state
