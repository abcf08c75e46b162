"""A frozen page opened from disk in a real browser that has no network."""

import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Request, expect

from densitylab.backend.shared.contracts import ExperimentRequest
from tests.end_to_end.systems import RunningSystem

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
PATIENCE = 120_000  # milliseconds, on a machine that trains meanwhile
expect.set_options(timeout=PATIENCE)
REQUEST = ExperimentRequest(
    name="to be frozen",
    spec={"epochs": 1, "train_samples": 300, "evaluations": []},
    sweep={"lambda_": [0, 1], "seed": [0, 1]},
)
PAINTED = """() => [...document.querySelectorAll(".maps img:not(.outline)")].map(
  (image) => image.complete && image.naturalWidth > 1 && image.clientWidth > 50)"""
SIDEWAYS = """() => [...document.querySelectorAll("html, body, body *:not(svg *)")]
  .filter((item) => item.scrollWidth > item.clientWidth + 1 && item.clientWidth > 0)
  .filter((item) => ["auto", "scroll"].includes(getComputedStyle(item).overflowX) || item.tagName === "HTML")
  .map((item) => item.className || item.tagName)"""


@pytest.fixture(scope="module")
def experiment(running_system: RunningSystem) -> int:
    """Train two λ with two seeds."""
    launched = running_system.client.launch(REQUEST)
    running_system.client.wait(launched.id, check=True)
    return launched.id


@pytest.fixture(scope="module")
def folder(running_system: RunningSystem, experiment: int, browser: Browser, tmp_path_factory) -> Path:
    """Make the page on Compare, download it, and unpack it."""
    target = tmp_path_factory.mktemp("frozen")
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{running_system.page}/compare?experiment={experiment}")
    page.get_by_role("button", name="Make a frozen page").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the frozen page").click()
    assert download.value.suggested_filename == f"experiment-{experiment}.zip"
    download.value.save_as(target / "page.zip")
    page.context.close()
    with zipfile.ZipFile(target / "page.zip") as archive:
        archive.extractall(target)
    return target / f"experiment-{experiment}"


class Visit:
    """A page of the folder with what it asked for and what the console said."""

    def __init__(self, browser: Browser, width: int, height: int, scheme: str = "light") -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, offline=True
        )
        self.context.set_default_timeout(PATIENCE)
        self.page: Page = self.context.new_page()
        self.requests: list[str] = []
        self.problems: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("requestfailed", self._note_failure)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on(
            "console", lambda line: self.problems.append(line.text) if line.type in ("error", "warning") else None
        )

    def _note_failure(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the page was left while it loaded
            self.problems.append(f"failed: {request.url}")

    def open(self, file: Path) -> None:
        self.page.goto(file.as_uri())
        charts = self.page.locator(".chart").count()
        expect(self.page.locator(".chart .main-svg:first-child")).to_have_count(charts)


@pytest.fixture(params=[(1440, 900, "light"), (390, 844, "light"), (1440, 900, "dark")], ids="{0[0]}-{0[2]}".format)
def visit(request, browser: Browser) -> Iterator[Visit]:
    visit = Visit(browser, *request.param)
    yield visit
    visit.context.close()


def test_the_folder_opens_from_disk_without_network(folder: Path, visit: Visit, running_system, experiment: int):
    visit.open(folder / "index.html")
    page = visit.page
    expect(page.get_by_role("heading", name="to be frozen")).to_be_visible()
    expect(page.get_by_text(f"Experiment {experiment}, launched")).to_be_visible()
    painted = page.evaluate(PAINTED)
    assert len(painted) == 4 * 3 and all(painted)  # of four images each, and the maps of two runs
    shot = Image.open(BytesIO(page.locator(".maps img:not(.outline)").nth(1).screenshot())).convert("RGB")
    assert len(shot.getcolors(10**6)) > 20
    assert page.locator(".chart .scatterlayer path.js-line, .chart .scatterlayer path.point").count() > 10
    assert page.evaluate(SIDEWAYS) == []

    first = running_system.client.runs_of(experiment)[0]
    page.locator(".maps").first.get_by_role("link", name=f"run {first.id}", exact=True).click()
    expect(page.get_by_role("heading", name=f"Run {first.id}")).to_be_visible()
    expect(page.get_by_text(first.provenance["spec_hash"]).first).to_be_visible()
    assert all(page.evaluate(PAINTED)) and page.evaluate(SIDEWAYS) == []
    page.get_by_text("Full spec as JSON").click()
    expect(page.get_by_text('"regularizer": {').first).to_be_visible()
    page.get_by_role("link", name="← to be frozen").click()
    expect(page.get_by_role("heading", name="Findings")).to_be_visible()

    assert {urlsplit(url).scheme for url in visit.requests} <= {"file", "data"}
    assert all(url.startswith((folder.as_uri(), "data:")) for url in visit.requests)
    assert visit.problems == []


def test_every_link_of_every_page_leads_to_a_page(folder: Path, browser: Browser):
    visit = Visit(browser, 1440, 900)
    collect = "() => [...document.querySelectorAll('a[href]:not([download])')].map((link) => link.href.split('#')[0])"
    waiting, seen = [(folder / "index.html").as_uri()], set[str]()
    while waiting:
        address = waiting.pop()
        if address not in seen:
            seen.add(address)
            visit.page.goto(address)
            waiting += visit.page.evaluate(collect)
    visit.context.close()
    assert seen == {file.as_uri() for file in folder.rglob("*.html")} and len(seen) == 1 + 4
    assert visit.problems == []


def test_a_click_on_a_point_opens_its_run(folder: Path, browser: Browser):
    visit = Visit(browser, 1440, 900)
    visit.open(folder / "index.html")
    points = visit.page.locator(".chart").first.locator(".scatterlayer .trace").last.locator("path.point")
    points.first.scroll_into_view_if_needed()
    box = points.first.bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    visit.page.mouse.move(*middle)
    expect(visit.page.locator(".hoverlayer .hovertext").first).to_be_visible()
    visit.page.mouse.click(*middle)
    visit.page.wait_for_url("**/runs/*.html")
    assert visit.problems == []
    visit.context.close()


def test_text_of_charts_is_light_on_dark_and_dark_on_paper(folder: Path, browser: Browser):
    visit = Visit(browser, 1440, 900, "dark")
    visit.open(folder / "index.html")
    colour = "() => getComputedStyle(document.querySelector('.chart .xtick text')).fill"
    assert visit.page.evaluate(colour) == "rgb(230, 230, 230)"
    visit.page.emulate_media(media="print")
    visit.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert visit.page.evaluate(colour) == "rgb(34, 34, 34)"
    visit.page.wait_for_function("document.querySelector('.chart .main-svg').clientWidth === 640")
    visit.context.close()
