"""The journeys of a user in a real browser on a real running system."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
PATIENCE = 60_000  # milliseconds, on a machine that trains meanwhile


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """A new browser window; errors that the page throws fail the test."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    thrown: list[str] = []
    tab.on("pageerror", lambda error: thrown.append(str(error)))
    yield tab
    shots = os.environ.get("DENSITYLAB_SCREENSHOTS")
    if shots:
        tab.screenshot(path=Path(shots) / "last.png")
    context.close()
    assert thrown == []


def shoot(tab: Page, name: str) -> None:
    """A picture for those who want to look, into the folder DENSITYLAB_SCREENSHOTS."""
    folder = os.environ.get("DENSITYLAB_SCREENSHOTS")
    if folder:
        height = tab.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        tab.set_viewport_size({"width": 1400, "height": min(max(height, 700), 3000)})
        tab.wait_for_timeout(1000)
        tab.screenshot(path=Path(folder) / f"{name}.png")
        tab.set_viewport_size({"width": 1400, "height": 1000})


def points(tab: Page) -> int:
    """Points in the first chart."""
    return int(tab.locator(".densitylab-chart").first.get_attribute("data-points") or 0)


def test_launch_from_the_form_and_watch_the_curve_grow(running_system, tab):
    tab.goto(f"{running_system.page}/launch")
    tab.get_by_role("textbox", name="λ: weights of the penalty").fill("0.3")
    tab.get_by_role("textbox", name="Seeds").fill("5")
    tab.get_by_role("spinbutton", name="Epochs").fill("20")
    tab.get_by_role("spinbutton", name="Epochs").press("Enter")
    tab.wait_for_timeout(1000)
    shoot(tab, "launch")
    tab.get_by_role("button", name="Launch 1 run").click()
    tab.wait_for_url("**/run?run=*")
    expect(tab.get_by_role("heading", level=1)).to_contain_text("λ = 0.3, seed 5")
    tab.locator(".densitylab-chart[data-points]").first.wait_for()
    tab.wait_for_function(
        "before => Number(document.querySelector('.densitylab-chart').dataset.points) > before", arg=points(tab)
    )
    run_id = int(re.search(r"run=(\d+)", tab.url).group(1))

    # The user zooms and hides a curve; new points must leave both as they are
    tab.evaluate("""() => {
        const chart = document.querySelector('.densitylab-chart');
        densitylabPlotly.relayout(chart, {'xaxis.range': [2, 9]});
        chart.classList.add('the-very-same');
    }""")
    tab.locator(".densitylab-chart").first.locator(".legendtoggle").nth(1).click()
    seen = points(tab)
    tab.wait_for_function(
        "before => Number(document.querySelector('.densitylab-chart').dataset.points) > before + 20", arg=seen
    )
    kept = tab.evaluate("""() => {
        const chart = document.querySelector('.the-very-same');
        return [chart.layout.xaxis.range, chart._fullData.map(trace => trace.visible)];
    }""")
    assert kept[0] == [2, 9] and "legendonly" in kept[1]
    shoot(tab, "run-live")

    run = running_system.client.run(run_id)
    assert (run.spec.lambda_, run.spec.seed, run.spec.epochs) == (0.3, 5, 20)
    tab.get_by_role("button", name="Cancel").click()
    expect(tab.get_by_text("cancelled").first).to_be_visible()
    assert running_system.client.run(run_id).checkpoint_step is not None
