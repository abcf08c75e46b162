"""From the evaluation form to the test images behind a point of its chart, in a real browser."""

import re
import time

import pytest
from playwright.sync_api import Browser, expect

from densitylab.backend.shared.contracts import ExperimentRequest
from tests.end_to_end.expanders import open_expander

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
PATIENCE = 90_000  # milliseconds


def test_an_evaluation_is_requested_and_a_point_of_its_chart_opens_the_images(running_system, browser: Browser):
    client = running_system.client
    (run,) = client.launch(
        ExperimentRequest(
            name="To be measured",
            spec={"epochs": 1, "train_samples": 300, "evaluations": []},
        )
    ).runs
    deadline = time.monotonic() + 300
    while not client.run(run).results:
        assert time.monotonic() < deadline, client.run(run).error
        time.sleep(0.5)
    page = browser.new_context(viewport={"width": 1280, "height": 3200}).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{running_system.page}/run?run={run}")
    open_expander(page.get_by_text("Add an evaluation"))
    page.get_by_role("combobox", name="Evaluation").click()
    page.get_by_role("option", name="Adversarial accuracy, PGD L∞").click()
    images = page.get_by_role("spinbutton", name="Test images")
    images.fill("40")
    images.press("Tab")
    page.get_by_role("button", name="Evaluate", exact=True).click()
    chart = page.locator(".densitylab-chart[aria-label^='Accuracy under attack'][data-points]")
    images_behind = page.get_by_text("Test images whose prediction breaks at epsilon 0")
    deadline = time.monotonic() + 60
    while not images_behind.is_visible():
        assert time.monotonic() < deadline, "a click on the first point opens no images"
        page.mouse.move(0, 0)  # charts still move while the page loads, so start again
        box = chart.locator(".scatterlayer .point").first.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_timeout(500)  # clickable once the chart has found the point under the pointer
        page.mouse.down()
        page.mouse.up()
        page.wait_for_timeout(1_000)
    card = page.locator(".dl-behind a").first
    expect(card).to_contain_text("predicted")
    expect(card).to_have_attribute("href", re.compile(rf"runs={run}&samples=\d+"))
    page.context.close()
