"""Main workflows in a real browser on a running system."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, TimeoutError, expect

from tests.end_to_end.charts import bring_near, expect_points

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
PATIENCE = 60_000  # milliseconds, on a machine that trains meanwhile
expect.set_options(timeout=PATIENCE)


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """Open a browser window; errors of the page fail the test."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    thrown: list[str] = []
    tab.on("pageerror", lambda error: thrown.append(str(error)))
    yield tab
    shots = os.environ.get("TEST_SCREENSHOTS")
    if shots:
        tab.screenshot(path=Path(shots) / "last.png")
    context.close()
    assert thrown == []


def shoot(tab: Page, name: str) -> None:
    """Save a screenshot to the folder TEST_SCREENSHOTS, if that is set."""
    folder = os.environ.get("TEST_SCREENSHOTS")
    if folder:
        height = tab.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        tab.set_viewport_size({"width": 1400, "height": min(max(height, 700), 3000)})
        tab.wait_for_timeout(1000)
        tab.screenshot(path=Path(folder) / f"{name}.png")
        tab.set_viewport_size({"width": 1400, "height": 1000})


def points(tab: Page) -> int:
    """Return the number of points in the first chart."""
    return int(tab.locator(".densitylab-chart").first.get_attribute("data-points") or 0)


def fill_launch_form(tab: Page, *, lambdas: str, seeds: str, epochs: str) -> None:
    tab.get_by_role("textbox", name="λ (penalty weights)").fill(lambdas)
    tab.get_by_role("textbox", name="Seeds").fill(seeds)
    tab.get_by_role("spinbutton", name="Epochs").fill(epochs)
    tab.get_by_role("spinbutton", name="Epochs").press("Enter")


def pictures(tab: Page) -> list[str]:
    """Return every picture of the Saliency page."""
    return tab.locator(".dl-card img:not(.dl-outline)").evaluate_all("images => images.map(image => image.src)")


def test_the_whole_loop_from_the_empty_home_page_to_the_maps(running_system, browser, tab):
    client = running_system.client
    tab.goto(running_system.page)
    expect(tab.get_by_text("No runs yet")).to_be_visible()
    expect(tab.get_by_text("about 2 minutes")).to_be_visible()
    shoot(tab, "home-empty")
    tab.get_by_role("button", name="Launch the demo").click()
    tab.wait_for_url("**/compare?experiment=*")
    expect(tab.get_by_text("9 runs:")).to_be_visible()
    demo = client.experiment(int(re.search(r"experiment=(\d+)", tab.url).group(1)))
    tab.get_by_role("tab", name="Training curves").click()
    tab.locator(".densitylab-chart[data-points]:visible").first.wait_for()  # the page is live
    shoot(tab, "compare-live")
    for run_id in demo.runs:  # nine full trainings take too long; continue with short ones
        client.cancel_run(run_id)

    tab.goto(f"{running_system.page}/launch")
    fill_launch_form(tab, lambdas="0, 1", seeds="0, 1", epochs="2")
    tab.get_by_role("button", name="Launch 4 runs").click()
    tab.wait_for_url("**/compare?experiment=*")
    expect(tab.get_by_text("4 runs: ✓ succeeded 4")).to_be_visible(timeout=600_000)
    tab.get_by_role("tab", name="Charts").click()
    scatter = tab.locator(".densitylab-chart[aria-label^='Trade-off']").first
    # Four runs and two means; the front is drawn too where one mean is dominated
    expect_points(scatter, re.compile("^[67]$"), timeout=300)
    shoot(tab, "compare")

    # A click on the mean of the second λ opens a run of it
    for patience in (10_000, 10_000, PATIENCE):  # a chart that appears at this moment moves it away
        bring_near(scatter)
        opened = scatter.evaluate("chart => chart._fullData.at(-1).customdata[0]")
        position = scatter.evaluate("""chart => {
            const trace = chart._fullData.at(-1), box = chart.getBoundingClientRect(), layout = chart._fullLayout;
            return [box.x + layout._size.l + layout.xaxis.d2p(trace.x[0]), box.y + layout._size.t
                    + layout.yaxis.d2p(trace.y[0])];
        }""")
        tab.mouse.move(*position)
        tab.mouse.click(*position)
        try:
            tab.wait_for_url(f"**/run?run={opened}*", timeout=patience)
            break
        except TimeoutError:
            if patience == PATIENCE:
                raise
    expect(tab.get_by_text("λ = 1, seed").first).to_be_visible()
    expect(tab.get_by_text("succeeded").first).to_be_visible()
    shoot(tab, "run")
    tab.get_by_role("button", name="Saliency maps, beside 1 more").click()
    tab.wait_for_url("**/saliency?*samples=*")
    expect(tab.locator(".dl-card")).to_have_count(8)
    shown = pictures(tab)
    assert len(shown) == 8 * 3  # image, two maps
    expect(tab.get_by_role("textbox", name=re.compile("^Test images"))).to_have_value("0,1,2,3,4,5,6,7")
    expect(tab.get_by_role("spinbutton", name="At a time")).to_have_value("8")
    expect(tab.get_by_text("One scale for all maps")).to_be_visible()
    shoot(tab, "saliency")

    # The arrow keys change the image
    tab.keyboard.press("ArrowRight")
    expect(tab.locator(".dl-head").first).to_have_text("test image 8")
    tab.keyboard.press("ArrowLeft")
    expect(tab.locator(".dl-head").first).to_have_text("test image 0")
    expect(tab.locator(".dl-card")).to_have_count(8)
    assert pictures(tab) == shown

    # The link restores the view in a new browser
    stranger = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
    stranger.goto(tab.url)
    expect(stranger.locator(".dl-card")).to_have_count(8, timeout=PATIENCE)
    assert pictures(stranger) == shown
    stranger.context.close()

    with tab.expect_download() as download:
        tab.get_by_role("button", name="PNG").click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")


def test_launch_from_the_form_and_watch_the_curve_grow(running_system, tab):
    tab.goto(f"{running_system.page}/launch")
    fill_launch_form(tab, lambdas="0.3", seeds="5", epochs="500")  # long enough to be cancelled
    shoot(tab, "launch")
    tab.get_by_role("button", name="Launch 1 run").click()
    tab.wait_for_url("**/run?run=*")
    expect(tab.get_by_text("λ = 0.3, seed 5").first).to_be_visible()
    tab.locator(".densitylab-chart[data-points]").first.wait_for()
    tab.wait_for_function(
        "before => Number(document.querySelector('.densitylab-chart').dataset.points) > before", arg=points(tab)
    )
    run_id = int(re.search(r"run=(\d+)", tab.url).group(1))

    # The user zooms and hides a curve; new points must change neither
    tab.evaluate("""() => {
        const chart = document.querySelector('.densitylab-chart');
        densitylabPlotly.relayout(chart, {'xaxis.range': [2, 9]});
        chart.classList.add('the-very-same');
    }""")
    tab.locator(".densitylab-chart").first.locator(".legendtoggle").nth(1).click()
    before = points(tab)
    tab.wait_for_function(
        "before => Number(document.querySelector('.densitylab-chart').dataset.points) > before + 20", arg=before
    )
    kept = tab.evaluate("""() => {
        const chart = document.querySelector('.the-very-same');
        return [chart.layout.xaxis.range, chart._fullData.map(trace => trace.visible)];
    }""")
    assert kept[0] == [2, 9] and "legendonly" in kept[1]
    shoot(tab, "run-live")

    run = running_system.client.run(run_id)
    assert (run.spec.lambda_, run.spec.seed, run.spec.epochs) == (0.3, 5, 500)
    tab.get_by_role("button", name="Cancel").click()
    expect(tab.get_by_text("cancelled").first).to_be_visible()
    assert running_system.client.run(run_id).checkpoint_step is not None
