"""The page of one run besides its curves, against a real API process."""

import time

import pytest

from densitylab.backend.shared.store import logs, tasks
from densitylab.backend.shared.tables import TaskRow
from tests.frontend.page_text import button, page_text

pytestmark = pytest.mark.timeout(120)
SMALL = {"epochs": 2, "evaluations": []}


def test_the_log_is_searched(page, live_api):
    (run,) = live_api.launch(SMALL)
    live_api.start(run)
    with live_api.database.write() as session:
        logs.append(session, run, [(time.time(), "WARNING", "the needle"), (time.time(), "INFO", "hay")])
    app = page.open("run", run=str(run))
    page_text(app)
    assert "the needle" in app.code[0].value and "hay" in app.code[0].value
    app = app.text_input(key="log").set_value("needle").run()
    page_text(app)
    assert "the needle" in app.code[0].value and "hay" not in app.code[0].value
    assert "No matching lines" in page_text(app.text_input(key="log").set_value("straw").run())


def test_notes_are_written_and_the_run_is_archived(page, live_api):
    (run,) = live_api.launch(SMALL)
    live_api.finish(run)
    app = page.open("run", run=str(run))
    next(item for item in app.text_area if item.label == "Notes").set_value("better than *thought*")
    app = button(app, "Save").click().run()
    assert live_api.client.run(run).notes == "better than *thought*"
    assert "better than" in page_text(app)
    assert "**archived**" in page_text(button(app, "Archive").click().run())
    assert live_api.client.run(run).archived


def test_a_run_gets_a_name_and_loses_it(page, live_api):
    run, other = live_api.launch(SMALL, {"seed": [0, 1]})

    def rename(name: str) -> str:
        app = page.open("run", run=str(run))
        next(item for item in app.text_input if item.label == "Name").set_value(name)
        return page_text(button(app, "Save").click().run())

    assert f"Run {run}: strong \\*smoothing\\*" in rename(" strong *smoothing* ")
    assert live_api.client.run(run).name == "strong *smoothing*"
    experiment = str(live_api.client.run(run).experiment)
    app = page.open("experiment", experiment=experiment)
    page_text(app)
    (table,) = (item.value for item in app.dataframe if "Settings" in item.value)
    assert list(table["Name"]) == ["strong *smoothing*", ""] and "seed 0" in table["Settings"][0]
    app = page.open("runs", experiment=experiment)
    page_text(app)
    table = app.dataframe[0].value
    assert dict(zip(table["Run"], table["Name"], strict=True)) == {run: "strong *smoothing*", other: ""}
    assert f"Run {run}: from a test" in rename("  ") and live_api.client.run(run).name is None
    app = page.open("runs", experiment=experiment)
    page_text(app)
    assert "Name" not in app.dataframe[0].value and live_api.client.run(other).name is None


def test_deleting_says_how_much_it_frees_and_waits_for_a_click(page, live_api):
    (run,) = live_api.launch(SMALL)
    live_api.finish(run)
    app = button(page.open("run", run=str(run)), "Delete").click().run()
    assert "This frees **7 B** and cannot be undone" in page_text(app)
    assert live_api.client.run(run).id == run


def test_a_run_at_work_cannot_be_deleted(page, live_api):
    (run,) = live_api.launch(SMALL)
    live_api.start(run)
    assert button(page.open("run", run=str(run)), "Delete").disabled


def test_a_run_without_effect_of_its_weight_says_so_in_its_title_and_its_row(page, live_api):
    (run,) = live_api.launch({**SMALL, "lambda_": 1e-40})
    text = page_text(page.open("run", run=str(run)))
    assert f"Run {run} λ without effect:" in text and "the penalty has no effect" in text
    app = page.open("runs", experiment=str(live_api.client.run(run).experiment))
    page_text(app)
    assert list(app.dataframe[0].value["Flags"]) == ["⚠ λ without effect"]


def test_the_model_is_taken_away(page, live_api):
    (run,) = live_api.launch(SMALL)
    assert "load_model" not in "".join(code.value for code in page.open("run", run=str(run)).code)  # not trained yet
    live_api.finish(run)
    app = page.open("run", run=str(run))
    lines = next(code.value for code in app.code if "load_model" in code.value)
    assert f'load_model("{live_api.client.public_url}/api/v1/runs/{run}")' in lines
    assert "torch.rand(4, 1, 56, 28)" in lines
    app = button(app, "Export the model").click().run()
    assert button(app, "Export the model").disabled
    with live_api.database.write() as session:
        (task,) = [item.id for item in session.query(TaskRow).filter_by(run_id=run, kind="export")]
        tasks.request_cancel(session, task)
    assert not button(app.run(), "Export the model").disabled


def test_the_title_has_the_name_of_the_experiment_and_results_stand_before_the_curves(page, live_api):
    (run,) = live_api.launch(SMALL)
    live_api.finish(run, accuracy__accuracy=0.9)
    app = page.open("run", run=str(run))
    text = page_text(app)
    assert app.title[0].value == f"Run {run}: from a test" and "**MLP, " in text
    assert "**0.900** ± 0.010" in text and "Test accuracy" in [item.value for item in app.caption]


def test_settings_that_differ_from_the_defaults_are_marked(page, live_api):
    params = {"key": "marginal_density", "params": {"power": 2}}
    (run,) = live_api.launch({**SMALL, "regularizer": params, "lambda_": 0.25})
    app = page.open("run", run=str(run))
    page_text(app)
    differing, every = (item.value.set_index("Setting") for item in app.table if "Setting" in item.value)
    names = [name.removeprefix("● ").replace("\\", "") for name in differing.index]
    assert "epochs" in names and "λ" in names and "batch size" not in names
    assert differing.loc[differing.index[names.index("λ")], "Value"] == "**0.25**"
    assert len(every) > 20 and any(name.strip() == "batch size" for name in every.index)
    assert any('"epochs": 2' in item.value for item in app.json)  # the spec stands behind it


def test_the_warnings_of_evaluations_are_one_line_above_the_curves(page, live_api):
    from densitylab.backend.shared.contracts import Flag, Value

    (run,) = live_api.launch({"epochs": 2, "evaluations": [{"key": "pgd_linf", "params": {"samples": 4}}]})
    live_api.finish(run)
    value = Value(value=0.25, low=0.05, high=0.7, n=4, higher_is_better=True)
    live_api.measured(
        run, "pgd_linf", values={"accuracy": value}, flags=[Flag(key="few_samples", text="only 4 images")]
    )
    app = page.open("run", run=str(run))
    assert "1 warning: pgd\\_linf\\: only 4 images" in [item.label for item in app.expander]
    assert "**0.25** (0.05 to 0.70)" in page_text(app)
