"""Runs that start from other runs, on the pages of a run and of a launch."""

import pytest

from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.store import metrics, run_artifacts, tasks
from tests.frontend.app_pages.test_launch_page import ending
from tests.frontend.page_text import button, linked, page_text

pytestmark = pytest.mark.timeout(120)
SMALL = {"epochs": 2, "evaluations": [], "seed": 5}


def newest(app, live_api):
    return live_api.client.run(int(linked(app, "run")))


def links(app):
    return [item.proto.label for item in app.get("page_link")]


def test_a_run_is_continued_from_its_page(page, live_api):
    (source,) = live_api.train(SMALL)
    assert "Continue" in [item.label for item in page.open("run", run=str(source)).button]
    app = page.open("launch", **{"continue": str(source)})
    text = page_text(app)
    assert f"Continues run {source}, from its full state" in text and "bit for bit" in text
    assert ending(app.number_input, "/epochs").value == 7 and ending(app.number_input, "/from").value == source
    app = ending(app.button, "launch-button").click().run()
    page_text(app)
    run = newest(app, live_api)
    assert (run.spec.epochs, run.spec.seed, run.spec.init_from.mode) == (7, 5, "continue")
    app = page.open("run", run=str(run.id))
    assert "Continues" in page_text(app) and f"run {source} (after 0.2778 epochs)" in links(app)
    app = page.open("run", run=str(source))
    assert "Start of" in page_text(app) and f"run {run.id}" in links(app)


def test_a_copy_of_a_continued_experiment_keeps_what_its_short_spec_left_out(page, live_api):
    (source,) = live_api.train(SMALL | {"model": {"key": "cnn", "params": {"width": 8}}})
    (run,) = live_api.launch({"init_from": {"run": source, "mode": "continue"}, "epochs": 9})
    app = page.open("launch", **{"from": str(live_api.client.run(run).experiment)})
    assert "Continues run" in page_text(app)
    app = ending(app.button, "launch-button").click().run()
    page_text(app)
    copied = newest(app, live_api).spec
    assert (copied.model.params["width"], copied.seed, copied.epochs, copied.init_from.mode) == (8, 5, 9, "continue")


def test_a_training_starts_from_weights(page, live_api):
    (source,) = live_api.train(SMALL)
    assert "Start from these weights" in [item.label for item in page.open("run", run=str(source)).button]
    app = page.open("launch", weights=str(source))
    ending(app.text_input, "/from/freeze").set_value("1  features.*").run()
    ending(app.selectbox, "/from/head").set_value("new").run()
    app = ending(app.number_input, "/from/factor").set_value(10.0).run()
    text = page_text(app)
    assert f"Starts from the weights of run {source}" in text and "10 times the learning rate" in text
    app = ending(app.button, "launch-button").click().run()
    page_text(app)
    init_from = newest(app, live_api).spec.init_from
    assert init_from.model_dump() == {
        "run": source,
        "mode": "weights",
        "freeze": ["1", "features.*"],
        "head": "new",
        "head_learning_rate_factor": 10.0,
    }
    app = page.open("run", run=str(newest(app, live_api).id))
    assert "Starts from the weights of" in page_text(app)
    assert f"run {source} (after 0.2778 epochs)" in links(app)


def test_what_is_wrong_stands_beside_its_field(page, live_api):
    (source,) = live_api.train(SMALL)
    app = page.open("launch", **{"continue": str(source)})
    app = ending(app.number_input, "/batch").set_value(7).run()
    assert ending(app.button, "launch-button").disabled
    assert f"Run {source} has 100 here, and a run that continues it keeps that" in page_text(app)


def test_a_run_that_has_not_ended_offers_no_start(page, live_api):
    (run,) = live_api.launch(SMALL)
    live_api.start(run)
    labels = [item.label for item in page.open("run", run=str(run)).button]
    assert "Continue" not in labels and "Start from these weights" not in labels


def test_a_continued_run_names_the_epochs_before_it(page, live_api):
    (source,) = live_api.launch(SMALL | {"epochs": 15})
    held = live_api.start(source)
    with live_api.database.write() as session:
        metrics.append(session, source, [metrics.Point("loss", 540, 15.0, 0.1, 9.0)])
        run_artifacts.move_checkpoint(session, source, location=f"runs/{source}/c.pt", size=1, step=540, final=True)
        tasks.finish(session, held, Status.SUCCEEDED, None)
    run = live_api.client.continue_run(source, 20).runs[0]
    assert f"run {source} (epochs 1–15)" in links(page.open("run", run=str(run)))


def test_a_deleted_run_has_no_link(page, live_api):
    (source,) = live_api.train(SMALL)
    (run,) = live_api.train({**SMALL, "init_from": {"run": source}})
    assert live_api.client.run(run).lineage.ancestors[0].deleted is False
    live_api.client.delete_run(source)
    app = page.open("run", run=str(run))
    assert f"run {source} (after 0.2778 epochs), deleted" in page_text(app)
    assert not [label for label in links(app) if f"run {source} " in label]
    button(app, "Start from these weights")
