"""A search for λ, from the launch form to the experiment's page."""

from tests.frontend.app_pages.test_launch_page import ending
from tests.frontend.page_text import page_text


def test_a_search_is_launched_watched_and_stopped(page, live_api):
    app = page.open("launch")
    ending(app.number_input, "/epochs").set_value(2).run()
    ending(app.text_input, "/seeds").set_value("0, 1").run()
    methods = ending(app.multiselect, "/methods")
    app = methods.set_value([name for name in methods.options if "acobian" in name]).run()
    app = ending(app.toggle, "/search").set_value(True).run()
    app = ending(app.selectbox, "/search/result").set_value("pgd_linf.accuracy").run()
    app = ending(app.number_input, "/search/most").set_value(5).run()
    text = page_text(app)
    assert "Start the search" in [item.label for item in app.button]
    app = ending(app.button, "launch-button").click().run()
    text = page_text(app)
    experiment = live_api.client.experiments().items[0]
    assert experiment.search is not None and experiment.search.status == "running"
    assert experiment.request["search"]["seeds"] == [0, 1] and len(experiment.runs) == 14
    assert "Search for λ" in text and "14 runs of at most 22" in text
    assert "The search waits for runs that are not done." in text
    app = page.open("experiment", experiment=str(experiment.id))
    app = ending(app.button, "stop-search").click().run()
    assert "It was stopped by request." in page_text(app)
    copied = page.open("launch", **{"from": str(experiment.id)})
    assert ending(copied.toggle, "/search").value is True
    assert ending(copied.text_input, "/seeds").value == "0, 1"
