"""The results on a run's page: charts, flags, the images behind a point, and the form that asks for more."""

import pytest

from densitylab.backend.shared.contracts import Curve, Flag, Value
from tests.frontend.page_text import button, page_text, pictures

pytestmark = pytest.mark.timeout(120)
ATTACKED = {"epochs": 2, "evaluations": [{"key": "pgd_linf", "params": {"epsilons": [0.1], "samples": 4}}]}
CURVE = Curve(x=[0, 0.1], y=[0.75, 0.25], low=[0.3, 0.05], high=[0.95, 0.7], x_label="epsilon", y_label="accuracy")


@pytest.fixture
def attacked(live_api) -> int:
    """Four test images: the second flips at 0.1, the third too, the fourth is wrong as it is."""
    live_api.prepare()
    (run,) = live_api.launch(ATTACKED)
    live_api.finish(run)
    live_api.keep_predictions(run, [0, 1, 2, 7])
    live_api.measured(
        run,
        "pgd_linf",
        values={"accuracy": Value(value=0.25, low=0.05, high=0.7, n=4, higher_is_better=True)},
        curves={"accuracy": CURVE},
        flags=[Flag(key="few_samples", text="only 4 images")],
        broken_at=[float("inf"), 0.1, 0.1, 0.0],
    )
    return run


def test_a_curve_has_its_chart_its_numbers_and_its_flag(page, attacked):
    app = page.open("run", run=str(attacked))
    assert "**pgd\\_linf:** only 4 images" in page_text(app)
    tables = [item.value for item in app.dataframe]
    numbers = next(table for table in tables if "epsilon" in table)
    assert numbers[["epsilon", "accuracy", "low", "high"]].to_numpy().tolist() == [
        [0, 0.75, 0.3, 0.95],
        [0.1, 0.25, 0.05, 0.7],
    ]
    results = next(item.value for item in app.table if "Flags" in item.value)
    assert results.loc[results["Value"] == "0.250", "Flags"].tolist() == ["⚠ few samples"]


def test_a_point_opens_the_images_that_broke_there(page, attacked):
    app = page.open("run", run=str(attacked), images="pgd_linf|Accuracy under attack, L∞|accuracy|0.1")
    assert "Test images whose prediction breaks at epsilon 0.1" in page_text(app)
    html = pictures(app)
    assert "image 1, label 1" in html and "image 2, label 2" in html
    assert "image 0," not in html and "image 3," not in html
    assert f"runs={attacked}&amp;samples=1" in html


def test_a_wrong_prediction_is_marked(page, attacked):
    html = pictures(page.open("run", run=str(attacked), images="pgd_linf|Accuracy under attack, L∞|accuracy|0.0"))
    assert "image 3, label 3" in html and "✗ predicted 7" in html


def test_the_images_are_closed_again(page, attacked):
    app = page.open("run", run=str(attacked), images="pgd_linf|Accuracy under attack, L∞|accuracy|0.1")
    app = button(app, "Close").click().run()
    assert "whose prediction breaks" not in page_text(app)


@pytest.mark.parametrize(
    "link",
    [
        "pgd_linf|Accuracy under attack, L∞|loss|0.1",
        "pgd_linf|Accuracy under attack, L∞|accuracy|much",
        "ood|Accuracy under attack, L∞|accuracy|0.1",
    ],
)
def test_a_link_to_images_that_are_not_there_is_refused_in_words(page, attacked, link):
    assert "does not have" in page_text(page.open("run", run=str(attacked), images=link))


def test_single_images_have_violins_or_the_page_says_why_not(page, live_api):
    live_api.prepare()
    (run,) = live_api.launch({"epochs": 2, "evaluations": [{"key": "sensitivity"}]})
    live_api.finish(run, sensitivity__sensitivity_max=0.5)
    assert "the values of single images are not stored" in page_text(page.open("run", run=str(run)))
    live_api.measured(run, "sensitivity", values={"sensitivity_max": Value(value=0.5)}, sensitivity_max=[0.4, 0.6])
    app = page.open("run", run=str(run))
    assert "not stored" not in page_text(app)
    assert next(item.value for item in app.dataframe if "test image" in item.value)["value"].tolist() == [0.4, 0.6]


def test_a_further_measure_is_asked_for_shown_waiting_and_cancelled(page, live_api):
    live_api.prepare()
    (run,) = live_api.launch({"epochs": 2, "evaluations": []})
    live_api.finish(run)
    app = page.open("run", run=str(run))
    entry = next(item for item in app.selectbox if item.label == "Evaluation")
    app = entry.set_value(next(option for option in entry.options if "PGD L2" in option)).run()
    app = app.text_input(key="evaluation/name").set_value("strong").run()
    app = button(app, "Evaluate").click().run()
    assert not app.exception
    asked = next(item for item in live_api.client.evaluations(run) if item.name == "strong")
    assert (asked.key, asked.status.value) == ("pgd_l2", "queued")
    app = next(item for item in app.button if item.key == "cancel-strong").click().run()
    assert not app.exception
    assert next(item for item in live_api.client.evaluations(run) if item.name == "strong").status.value == "cancelled"


def test_what_the_api_refuses_is_said_beside_its_field(page, live_api):
    live_api.prepare()
    (run,) = live_api.launch({"epochs": 2, "evaluations": []})
    live_api.finish(run)
    app = page.open("run", run=str(run))
    app = app.text_input(key="evaluation/name").set_value("Not A Name").run()
    app = button(app, "Evaluate").click().run()
    assert "Expected lower-case letters" in page_text(app)
    assert app.text_input(key="evaluation/name").value == "Not A Name"


def test_a_run_without_a_checkpoint_cannot_be_measured_yet(page, live_api):
    (run,) = live_api.launch({"epochs": 2, "evaluations": []})
    live_api.start(run)
    assert "once the run has a checkpoint" in page_text(page.open("run", run=str(run)))


def test_measures_that_the_data_cannot_give_are_not_offered(page, live_api):
    live_api.prepare()
    (run,) = live_api.launch({"epochs": 2, "evaluations": []})
    live_api.finish(run)
    offered = next(item for item in page.open("run", run=str(run)).selectbox if item.label == "Evaluation").options
    assert "Feature leakage" in offered and "Group accuracy" not in offered
