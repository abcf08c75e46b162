"""The comparison and its report in a real browser."""

import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from densitylab.backend.shared.contracts import ExperimentRequest
from tests.end_to_end.expanders import open_expander

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
PATIENCE = 90_000  # milliseconds
SHOWN_LABELS = """() => [...document.querySelectorAll('.densitylab-chart')].map(
    chart => [...chart.querySelectorAll('.hoverlayer .hovertext')].map(text => text.textContent).join())"""


POSITION = """chart => {
    const trace = chart._fullData.at(-1), box = chart.getBoundingClientRect(), layout = chart._fullLayout;
    return [box.x + layout._size.l + layout.xaxis.d2p(trace.x[0]), box.y + layout._size.t
            + layout.yaxis.d2p(trace.y[0])];
}"""


@pytest.fixture(scope="module")
def experiment(running_system) -> int:
    """Train four short runs, evaluated by accuracy only."""
    client = running_system.client
    launched = client.launch(
        ExperimentRequest(
            name="For the comparison",
            spec={"epochs": 1, "train_samples": 300, "evaluations": []},
            sweep={"lambda_": [0, 1], "seed": [0, 1]},
        )
    )
    deadline = time.monotonic() + 300
    while not all(run.results for run in client.runs_of(launched.id)):
        assert time.monotonic() < deadline, [run.error for run in client.runs_of(launched.id)]
        time.sleep(0.5)
    return launched.id


def opened(browser: Browser, url: str, charts: str = "[aria-label^='Trade-off']") -> Page:
    page = browser.new_context(viewport={"width": 1400, "height": 3600}).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(url)
    expect(page.locator(f".densitylab-chart{charts}[data-points]")).to_have_count(2, timeout=PATIENCE)
    return page


def test_what_is_pointed_at_in_one_chart_is_shown_in_the_others(running_system, browser, experiment):
    page = opened(browser, f"{running_system.page}/compare?experiment={experiment}&tab=Charts")
    chart = page.locator(".densitylab-chart[aria-label^='Trade-off']").first
    deadline = time.monotonic() + 60
    while sum(label.startswith("λ 1, ") for label in page.evaluate(SHOWN_LABELS)) < 2:
        assert time.monotonic() < deadline, page.evaluate(SHOWN_LABELS)
        page.mouse.move(0, 0)  # charts still move while the page loads, so start again
        page.mouse.move(*chart.evaluate(POSITION))
        page.wait_for_timeout(500)
    with page.expect_download() as download:
        chart.locator("[data-title='Download plot as SVG']").click()
    assert "<svg" in download.value.path().read_text()[:200]
    page.context.close()


@pytest.mark.slow
def test_the_link_restores_the_view_in_a_new_browser(running_system, browser, experiment):
    curves_shown = "[aria-label*='of 4 runs']"
    link = f"{running_system.page}/compare?experiment={experiment}"
    page = opened(browser, f"{link}&tab=Training+curves", curves_shown)
    page.get_by_text("Means over seeds", exact=True).click()
    page.wait_for_url("**means=true*")
    expect(page.locator(".densitylab-chart[aria-label*='of 4 runs']").first).to_be_visible()
    stranger = opened(browser, page.url, curves_shown)
    assert "means=true" in stranger.url and "tab=Training" in stranger.url
    lines = "charts => charts.map(chart => chart.data.map(trace => trace.name))"
    curves = [each.locator(".densitylab-chart[aria-label*='of 4 runs']") for each in (page, stranger)]
    expect(curves[1]).to_have_count(curves[0].count(), timeout=PATIENCE)
    assert "λ 1" in curves[1].evaluate_all(lines)[-1]  # one line per group
    for each in (page, stranger):
        each.context.close()


def test_the_report_opens_without_a_network(running_system, browser, experiment, tmp_path: Path):
    page = opened(browser, f"{running_system.page}/compare?experiment={experiment}&tab=Charts")
    page.get_by_role("button", name="Make a report").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the report").click()
    file = tmp_path / "report.html"
    download.value.save_as(file)
    page.context.close()

    reader = browser.new_context(offline=True).new_page()
    asked, thrown = [], []
    reader.on("request", lambda request: asked.append(request.url))
    reader.on("pageerror", lambda error: thrown.append(str(error)))
    reader.goto(file.as_uri())
    expect(reader.get_by_role("heading", name="For the comparison")).to_be_visible()
    assert reader.locator("figure > svg").count() > 1  # charts, without a script
    assert reader.locator(".dl-card").count() == 4  # maps of four images
    reader.wait_for_timeout(500)
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == [] and thrown == []
    reader.context.close()


FITS = """() => [...document.querySelectorAll('.densitylab-groups')].every(
    box => box.scrollWidth <= box.clientWidth && [...box.querySelectorAll('th, td')].every(
        cell => cell.scrollWidth <= cell.clientWidth + 1))"""


def test_no_cell_of_the_table_is_cut_and_a_group_opens_its_run(running_system, browser, experiment):
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{running_system.page}/compare?experiment={experiment}")
    page.locator(".densitylab-groups table").wait_for()
    assert page.evaluate(FITS)
    open_expander(page.get_by_text("For a paper"))
    expect(page.get_by_role("button", name="Tables (LaTeX)")).to_be_visible()
    page.get_by_role("tab", name="Best λ and claims").click()
    page.wait_for_url("**tab=Best*")
    expect(page.get_by_role("button", name="Tables (LaTeX)")).to_be_hidden()
    page.get_by_role("tab", name="Table").click()
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollWidth <= 390")
    page.locator(".densitylab-groups a").first.click()
    page.wait_for_url("**/run?run=*")
    expect(page.get_by_role("heading", level=1)).to_contain_text("For the comparison")
    page.context.close()
