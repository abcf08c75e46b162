"""A λ for another norm, power or target on the launch form."""

import pytest

from densitylab.backend.shared.contracts import PenaltyComparison, Status, TaskKind
from densitylab.backend.shared.store import penalties, tasks
from tests.frontend.app_pages.test_launch_page import ending
from tests.frontend.page_text import page_text

pytestmark = pytest.mark.timeout(120)
CAUTION = "λ is not comparable across networks."


def answer(live_api, suggested: float | None = 0.00123) -> None:
    """Answer the newest request, as a worker."""
    held = live_api.newest_task(TaskKind.PENALTIES)
    found = PenaltyComparison(
        id=held.task_id,
        regularizer="marginal_density",
        params=held.payload["spec"]["regularizer"]["params"],
        reference=held.payload["reference"],
        penalty=0.5,
        reference_penalty=0.001,
        ratio=None if suggested is None else 0.002,
        lambda_=held.payload["lambda_"],
        suggested_lambda=suggested,
        images=256,
        seeds=held.payload["seeds"],
        run=held.payload["run"],
        cautions=[CAUTION],
    )
    with live_api.database.write() as session:
        penalties.keep(session, held.task_id, found)
        tasks.finish(session, held, Status.SUCCEEDED)


def test_a_lambda_is_converted_at_a_click_and_put_into_the_field(page, live_api):
    app = page.open("launch")
    app = ending(app.selectbox, "/regularizer/marginal_density/p_norm").set_value("1").run()
    app = ending(app.text_input, "/lambda").set_value("0, 3").run()
    ending(app.number_input, "/conversion/lambda").set_value(0.6).run()
    app = ending(app.button, "/conversion/compute").click().run()
    assert "mean penalty" not in page_text(app)
    answer(live_api)
    app = app.run()
    text = page_text(app)
    assert "λ = 0.0012" in text and "mean penalty 0.5, at the defaults 0.001" in text
    assert "256 training images, new weights (seed 0)" in text and CAUTION in text
    app = ending(app.button, "/lambda/use").click().run()
    page_text(app)
    assert ending(app.text_input, "/lambda").value == "0, 0.0012"
    # an answer to another question is not shown
    app = ending(app.selectbox, "/regularizer/marginal_density/p_norm").set_value("2").run()
    assert "λ = 0.0012" not in page_text(app)


def test_an_answer_without_a_lambda_and_a_failure_are_sentences(page, live_api):
    app = page.open("launch")
    app = ending(app.button, "/conversion/compute").click().run()
    answer(live_api, suggested=None)
    assert "No λ: mean penalty 0.5" in page_text(app.run())
    ending(app.number_input, "/conversion/lambda").set_value(2.0).run()
    app = ending(app.button, "/conversion/compute").click().run()
    live_api.end(live_api.newest_task(TaskKind.PENALTIES), Status.FAILED, "The disk is full.")
    assert "The disk is full." in page_text(app.run())


def test_what_is_wrong_is_shown_beside_its_field(page):
    app = page.open("launch")
    ending(app.number_input, "/conversion/lambda").set_value(-1.0).run()
    app = ending(app.button, "/conversion/compute").click().run()
    assert "Expected a number above 0" in page_text(app)
    ending(app.number_input, "/conversion/lambda").set_value(1.0).run()
    ending(app.number_input, "/conversion/run").set_value(999999).run()
    app = ending(app.button, "/conversion/compute").click().run()
    assert "999999" in page_text(app)


def test_only_regularizers_whose_parameters_rescale_the_penalty_have_it(page):
    app = page.open("launch")
    offering = []
    for label in ending(app.selectbox, "/regularizer/key").options:
        app = ending(app.selectbox, "/regularizer/key").select(label).run()
        page_text(app)
        if any((item.key or "").endswith("/conversion/compute") for item in app.button):
            offering.append(label)
    assert offering == ["Marginal-density smoothing", "Input-gradient regularization", "Right for the right reasons"]
