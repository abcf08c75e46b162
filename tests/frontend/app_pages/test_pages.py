"""The pages against a real API process: what they say, what they ask for, and how they fail."""

import ast
from pathlib import Path

import pytest

from densitylab.backend.shared.contracts import Status
from densitylab.frontend.client.presets import DEMO
from tests.frontend.page_text import button, linked, page_text

pytestmark = pytest.mark.timeout(120)
FRONTEND = Path(__file__).parents[3] / "frontend"


def test_home_offers_the_demo_and_says_how_the_system_is(page):
    text = page_text(page.open("home"))
    assert f"9 runs, about {DEMO.minutes:g} minutes" in text
    assert "The broker is not available" in text  # none runs in this test
    assert "runs: " in text and " queued, " in text and "tasks, evaluations and maps included: " in text


def test_the_demo_button_launches_nine_runs_and_leads_to_their_comparison(page, live_api):
    app = button(page.open("home"), "Launch the demo").click().run()
    page_text(app)
    assert app.title[0].value == "Compare"
    experiment = live_api.client.experiment(int(linked(app, "experiment")))
    assert len(experiment.runs) == 9 and any("effect of λ" in name for name in app.multiselect[0].options)
    runs = live_api.client.runs_of(experiment.id)
    assert {(run.spec.lambda_, run.spec.seed) for run in runs} == {(x, s) for x in (0, 0.1, 1) for s in (0, 1, 2)}


def test_launch_says_how_many_runs_before_the_click(page, live_api):
    app = page.open("launch")
    assert "Launch 1 run" in [item.label for item in app.button]
    app.text_input(key=_key(app, "/lambda")).set_value("0, 0.1, 1").run()
    app.text_input(key=_key(app, "/seeds")).set_value("0 1").run()
    assert "Launch 6 runs" in [item.label for item in app.button]
    app = button(app, "Launch 6 runs").click().run()
    page_text(app)
    assert app.title[0].value == "Compare"
    assert len(live_api.client.experiment(int(linked(app, "experiment"))).runs) == 6


def _key(app, ending: str) -> str:
    return next(item.key for item in app.text_input if item.key.endswith(ending))


def test_launch_shows_the_same_request_for_other_tools(page):
    app = page.open("launch")
    code = app.code[0].value
    assert code.startswith("curl -X POST http://127.0.0.1:") and '"lambda_": 0.1' in code


def test_what_cannot_be_read_is_said_beside_the_field_and_not_launched(page):
    app = page.open("launch")
    app.text_input(key=_key(app, "/lambda")).set_value("0.1, much").run()
    assert "'much' is not a number" in page_text(app)
    assert button(app, "Launch").disabled


def test_what_the_api_refuses_is_said_beside_the_field(page, live_api):
    before = len(live_api.client.runs(limit=200).items)
    app = page.open("launch")
    app = app.text_input(key=_key(app, "/lambda")).set_value("0, -1").run()
    assert "Expected a number of at least 0; got -1" in page_text(app)
    assert button(app, "Launch 2 runs").disabled
    assert len(live_api.client.runs(limit=200).items) == before


def test_parameters_follow_the_choice_of_the_component(page):
    app = page.open("launch")
    model = next(item for item in app.selectbox if item.key.endswith("/model/key"))
    app = model.select_index(1).run()
    page_text(app)
    assert any(item.key.endswith("/model/cnn/width") for item in app.number_input)
    assert not any(item.key.endswith("/model/mlp/hidden") for item in app.number_input)


@pytest.mark.parametrize(("preset", "runs"), [("quick", 1), ("demo", 9), ("estimators", 3)])
def test_a_link_to_a_preset_fills_the_form(page, preset, runs):
    app = page.open("launch", preset=preset)
    page_text(app)
    assert f"Launch {runs} run{'s' if runs > 1 else ''}" in [item.label for item in app.button]


def test_clone_fills_the_form_from_a_run(page, live_api):
    (run_id,) = live_api.launch({"lambda_": 0.25, "epochs": 7, "model": {"key": "cnn", "params": {"width": 5}}})
    app = page.open("launch", clone=str(run_id))
    page_text(app)
    assert app.text_input(key=_key(app, "/lambda")).value == "0.25"
    assert next(item for item in app.number_input if item.key.endswith("/model/cnn/width")).value == 5
    app = button(app, "Launch 1 run").click().run()
    copy = live_api.client.run(int(linked(app, "run")))
    original = live_api.client.run(run_id)
    assert copy.id != run_id and copy.spec == original.spec


def test_cloning_what_is_gone_says_so(page):
    assert "999999" in page_text(page.open("launch", unfold=False, clone="999999"))


def test_runs_are_listed_and_filtered_by_the_link(page, live_api):
    (failed,) = live_api.launch({"regularizer": {"key": "none"}, "lambda_": 0})
    live_api.fail(failed, "RuntimeError: out of memory")
    app = page.open("runs", status="failed", regularizer="none")
    page_text(app)
    table = app.dataframe[0].value
    assert failed in set(table["Run"]) and set(table["Status"]) == {"✕ failed"}


def test_no_run_passes_the_filters(page):
    assert "No run matches these filters" in page_text(page.open("runs", q="nothing is called this"))


def test_a_run_that_waits(page, live_api):
    (run_id,) = live_api.launch()
    text = page_text(page.open("run", run=str(run_id)))
    assert f"Run {run_id}:" in text and "No points yet" in text


def test_a_failed_run_shows_its_cause_its_log_and_retry(page, live_api):
    (run_id,) = live_api.launch()
    live_api.fail(run_id, "RuntimeError: the disk is full")
    app = page.open("run", run=str(run_id))
    assert "the disk is full" in page_text(app)
    assert any("the first line of the log" in block.value for block in app.code)
    button(app, "Retry").click().run()
    assert live_api.client.run(run_id).status is Status.QUEUED


def test_a_finished_run_shows_its_results_with_interval_and_n(page, live_api):
    (run_id,) = live_api.launch({"evaluations": []})
    live_api.finish(run_id, accuracy__accuracy=0.917)
    app = page.open("run", run=str(run_id))
    page_text(app)
    table = next(item.value for item in app.table if "Metric" in item.value)
    row = table.iloc[0]
    assert (row["Metric"], row["Value"], row["95 % interval"], row["n"]) == (
        "Test accuracy",
        "0.917",
        "0.907 to 0.927",
        "1000",
    )
    curves = next(item.value for item in app.dataframe if "step" in item.value)
    assert list(curves["loss"]) == pytest.approx([1 / step for step in range(1, 11)])


def test_a_run_is_cancelled_from_its_page(page, live_api):
    (run_id,) = live_api.launch()
    button(page.open("run", run=str(run_id)), "Cancel").click().run()
    assert live_api.client.run(run_id).status is Status.CANCELLED


def test_flags_of_a_run_are_warnings(page, live_api):
    regularizer = {"key": "marginal_density", "params": {"estimator": "finite_difference"}}
    (run_id,) = live_api.launch({"regularizer": regularizer})
    app = page.open("run", run=str(run_id))
    assert any("ReLU" in warning.value for warning in app.warning)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({}, "Choose a run"),
        ({"run": "999999"}, "no run 999999"),
        ({"run": "x"}, "not a valid id"),
        ({"run": "99999999999999999999"}, "not a valid id"),
        ({"run": "0"}, "not a valid id"),
    ],
)
def test_bad_links_to_a_run(page, query, words):
    assert words in page_text(page.open("run", **query))


def test_the_comparison_has_means_over_seeds_and_differences(page, live_api):
    run_ids = live_api.launch({"evaluations": []}, {"lambda_": [0, 1], "seed": [0, 1, 2]})
    for run_id, accuracy in zip(run_ids, (0.90, 0.91, 0.92, 0.80, 0.81, 0.82), strict=True):
        live_api.finish(run_id, accuracy__accuracy=accuracy)
    experiment = live_api.client.run(run_ids[0]).experiment
    app = page.open("compare", experiment=str(experiment))
    page_text(app)
    table = app.dataframe[0].value
    assert list(table["λ"]) == ["0", "1"] and list(table["seeds done"]) == ["3 of 3", "3 of 3"]
    # t(2) · s / √3 = 4.303 · 0.01 / 1.732
    assert list(table["Test accuracy"]) == ["★ 0.910 ± 0.025", "0.810 ± 0.025"]
    assert table["Δ Test accuracy"][0] == "baseline" and table["Δ Test accuracy"][1].startswith("-0.100")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"experiment": "999999"}, "no experiment 999999"),
        ({"runs": "999998,999999"}, "Not found"),
        ({"runs": "1,x"}, "not a list"),
    ],
)
def test_bad_links_to_a_comparison(page, live_api, query, words):
    live_api.launch()
    assert words in page_text(page.open("compare", unfold=False, **query))


def test_pages_follow_each_other_with_their_own_controls(page, live_api):
    app = page.open("models")
    app = app.segmented_control(key="source").set_value("published weights").run()
    page_text(app)
    assert "Data sets" in page_text(page.open("datasets"))


def test_a_control_of_the_link_is_of_one_kind_on_all_pages():
    """Its value is kept from page to page, and another kind of control cannot read it."""
    kinds: dict[str, set[str]] = {}
    for file in FRONTEND.rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            given = {item.arg: item.value for item in call.keywords}
            key = given.get("key")
            if "bind" in given and isinstance(key, ast.Constant):
                kinds.setdefault(str(key.value), set()).add(call.func.attr)
    assert len(kinds) > 20 and {key: found for key, found in kinds.items() if len(found) > 1} == {}
