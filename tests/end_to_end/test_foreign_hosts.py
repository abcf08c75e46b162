"""A browser with its network recorded: no page, document or report asks another host for anything."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.end_to_end.systems import RunningSystem

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60_000  # milliseconds
PAGES = ["", *re.findall(r'url_path="(\w+)"', (ROOT / "frontend/streamlit_app.py").read_text())]
SPEC = {
    "epochs": 1,
    "train_samples": 200,
    "model": {"key": "mlp", "params": {"hidden": 16}},
    "device": "cpu",
    "evaluations": [{"key": "leakage", "params": {"samples": 20}}, {"key": "stability", "params": {"samples": 20}}],
}
WATCH = """
document.addEventListener("securitypolicyviolation",
  (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI} of ${event.sourceFile}`));
"""


@dataclass
class Recorded:
    tab: Page
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def hosts(self) -> set[str]:
        """Return the hosts of all requests and WebSockets."""
        return {urlsplit(url).netloc for url in self.asked if not url.startswith(("data:", "blob:", "file:"))}

    def violations(self) -> list[str]:
        return [text for text in self.said if text.startswith("policy:")]

    def see_everything(self) -> None:
        """Scroll through the page, so that every chart is drawn, and open what is folded."""
        main = self.tab.locator("[data-testid=stMain]")
        folded = self.tab.locator("details:not([open]) > summary")
        folded.evaluate_all("summaries => summaries.forEach(summary => summary.click())")
        for part in range(1, 11):
            main.evaluate("(main, part) => main.scrollTo(0, main.scrollHeight * part / 10)", part)
            self.tab.wait_for_timeout(150)


@pytest.fixture(scope="module")
def experiment(running_system: RunningSystem) -> int:
    client = running_system.client
    launched = client.launch({"name": "recorded", "spec": SPEC, "sweep": {"lambda_": [0, 1], "seed": [0, 1]}})
    client.wait(launched.id, timeout=300)
    return launched.id


@pytest.fixture
def recorded(browser: Browser) -> Iterator[Recorded]:
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(PATIENCE)
    context.add_init_script(WATCH)
    record = Recorded(context.new_page())
    record.tab.on("request", lambda request: record.asked.append(request.url))
    record.tab.on("websocket", lambda socket: record.asked.append(socket.url))
    record.tab.on("console", lambda message: record.said.append(message.text))
    yield record
    context.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda name: name or "home")
def test_a_page_asks_only_its_own_server(running_system: RunningSystem, recorded: Recorded, experiment: int, page: str):
    first, second = running_system.client.experiment(experiment).runs[:2]
    queries = {
        "run": f"run={first}",
        "experiment": f"experiment={experiment}",
        "compare": f"experiment={experiment}",
        **dict.fromkeys(("saliency", "stability", "density"), f"runs={first},{second}"),
    }
    recorded.tab.goto(f"{running_system.page}/{page}?{queries.get(page, '')}")
    expect(recorded.tab.locator("h1").first).to_be_visible(timeout=PATIENCE)
    recorded.tab.wait_for_timeout(1000)
    recorded.see_everything()
    assert recorded.hosts() == {urlsplit(running_system.page).netloc}
    assert recorded.violations() == [] and no_upload(recorded.tab)


def test_the_documentation_of_the_api_asks_only_the_api(running_system: RunningSystem, recorded: Recorded):
    recorded.tab.goto(f"{running_system.api}/docs")
    recorded.tab.get_by_text("/api/v1/catalog").first.click()
    recorded.tab.get_by_role("button", name="Try it out").click()
    recorded.tab.get_by_role("button", name="Execute").click()
    expect(recorded.tab.get_by_text("Response headers").first).to_be_visible(timeout=PATIENCE)
    assert recorded.hosts() == {urlsplit(running_system.api).netloc}
    assert recorded.violations() == []


def test_a_report_asks_nobody(running_system: RunningSystem, recorded: Recorded, experiment: int, tmp_path: Path):
    recorded.tab.goto(f"{running_system.page}/compare?experiment={experiment}")
    recorded.tab.get_by_role("button", name="Make a report").click()
    with recorded.tab.expect_download() as download:
        recorded.tab.get_by_role("button", name="Download the report").click()
    download.value.save_as(tmp_path / "report.html")
    recorded.asked.clear()
    recorded.tab.goto((tmp_path / "report.html").as_uri())
    expect(recorded.tab.locator(".js-plotly-plot .main-svg").first).to_be_visible(timeout=PATIENCE)
    recorded.tab.wait_for_timeout(1000)
    assert recorded.hosts() == set()
    assert recorded.violations() == [] and no_upload(recorded.tab)


def test_a_page_of_another_site_frames_neither_page_nor_documentation(
    running_system: RunningSystem, recorded: Recorded, tmp_path: Path
):
    addresses = (running_system.page, f"{running_system.api}/docs", f"{running_system.api}/api/v1/runs")
    frames = "".join(f'<iframe src="{address}"></iframe>' for address in addresses)
    (tmp_path / "foreign.html").write_text(f"<!doctype html>{frames}")
    recorded.tab.goto((tmp_path / "foreign.html").as_uri())
    recorded.tab.wait_for_timeout(1000)
    refused = [text for text in recorded.said if "frame-ancestors" in text]
    assert len(refused) == len(addresses), recorded.said


def no_upload(tab: Page) -> bool:
    """Return whether no chart has a button but Plotly's local ones."""
    titles = tab.locator(".modebar-btn").evaluate_all("buttons => buttons.map(button => button.dataset.title || '')")
    return not any(re.search("share|cloud|plotly|edit", title, re.IGNORECASE) for title in titles)
