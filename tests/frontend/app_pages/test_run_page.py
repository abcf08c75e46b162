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
