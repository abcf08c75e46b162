"""What one run's page offers besides its curves, against a real API process."""

import time

import pytest

from backend.shared.store import logs
from tests.frontend.on_the_page import button, said

pytestmark = pytest.mark.timeout(120)
SMALL = {"epochs": 2, "evaluations": []}


def test_the_log_is_searched(page, live_api):
    run, = live_api.launch(SMALL)
    live_api.start(run)
    with live_api.database.write() as session:
        logs.append(session, run, [(time.time(), "WARNING", "the needle"), (time.time(), "INFO", "hay")])
    app = page.open("run", run=str(run))
    said(app)
    assert "the needle" in app.code[0].value and "hay" in app.code[0].value
    app = app.text_input(key="log").set_value("needle").run()
    said(app)
    assert "the needle" in app.code[0].value and "hay" not in app.code[0].value
    assert "No line says that" in said(app.text_input(key="log").set_value("straw").run())


def test_notes_are_written_and_the_run_is_archived(page, live_api):
    run, = live_api.launch(SMALL)
    live_api.finish(run)
    app = page.open("run", run=str(run))
    next(item for item in app.text_area if item.label == "Notes").set_value("better than *thought*")
    app = button(app, "Save").click().run()
    assert live_api.client.run(run).notes == "better than *thought*"
    assert "better than" in said(app)
    assert "**archived**" in said(button(app, "Archive").click().run())
    assert live_api.client.run(run).archived


def test_deleting_says_how_much_it_frees_and_waits_for_a_click(page, live_api):
    run, = live_api.launch(SMALL)
    live_api.finish(run)
    app = button(page.open("run", run=str(run)), "Delete").click().run()
    assert "This frees **7 B** and cannot be undone" in said(app)
    assert live_api.client.run(run).id == run


def test_a_run_at_work_cannot_be_deleted(page, live_api):
    run, = live_api.launch(SMALL)
    live_api.start(run)
    assert button(page.open("run", run=str(run)), "Delete").disabled
