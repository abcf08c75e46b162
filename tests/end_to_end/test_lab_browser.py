"""The Saliency, Stability and Density pages in a real browser."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from densitylab.backend.shared.contracts import ExperimentRequest
from densitylab.frontend.analysis.formatting import joined
from tests.backend.api.test_api_uploads import HOSTILE
from tests.end_to_end.charts import expect_points
from tests.end_to_end.expanders import open_expander

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
PATIENCE = 90_000  # milliseconds
LAST_POINT = """chart => {
    const trace = chart._fullData.findLast(trace => trace.customdata), box = chart.getBoundingClientRect();
    const layout = chart._fullLayout;
    return [box.x + layout._size.l + layout.xaxis.d2p(trace.x.at(-1)),
            box.y + layout._size.t + layout.yaxis.d2p(trace.y.at(-1))];
}"""


@pytest.fixture(scope="module")
def members(running_system) -> list[int]:
    """Train two short runs, without and with smoothing."""
    client = running_system.client
    launched = client.launch(
        ExperimentRequest(
            name="For the laboratory",
            sweep={"lambda_": [0, 1]},
            spec={"epochs": 1, "train_samples": 1000, "evaluations": [{"key": "leakage"}]},
        )
    )
    deadline = time.monotonic() + 300
    while not all("leakage.share" in run.results for run in client.runs_of(launched.id)):
        assert time.monotonic() < deadline, [run.error for run in client.runs_of(launched.id)]
        time.sleep(0.5)
    return launched.runs


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """Open a browser window; errors of the page fail the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 2400})
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    tab = context.new_page()
    thrown: list[str] = []
    tab.on("pageerror", lambda error: thrown.append(str(error)))
    yield tab
    context.close()
    assert thrown == []


def test_maps_show_pixel_values_and_are_redrawn_and_an_image_is_uploaded(
    running_system, members: list[int], tab: Page, tmp_path: Path
):
    tab.goto(f"{running_system.page}/saliency?runs={joined(members)}&samples=0,1")
    expect(tab.locator(".dl-card")).to_have_count(2)
    tab.locator("img[data-values]").first.hover()
    expect(tab.locator(".dl-probe")).to_contain_text(
        re.compile(r"row \d+, column \d+.*λ 0: -?[\d.e-]+.*λ 1: -?[\d.e-]+", re.DOTALL)
    )
    expect(tab.locator(".dl-outline")).to_have_count(6)
    open_expander(tab.get_by_text("Display", exact=True))
    tab.get_by_text("Outline the null region").click()
    expect(tab.locator(".dl-outline")).to_have_count(0)

    own, text = tmp_path / "own.png", tmp_path / "text.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 60, 3), dtype=np.uint8)).save(own)
    text.write_text("no image")
    tab.get_by_role("button", name="Upload an image").click()
    tab.locator("input[type=file]").set_input_files(text)
    expect(tab.get_by_text("not an image of a known format")).to_be_visible()
    tab.locator("input[type=file]").set_input_files(own)
    expect(tab.locator(".dl-head")).to_have_text([re.compile(r"uploaded image \d+")])


@pytest.mark.slow
def test_images_are_browsed_pinned_and_starred_and_the_figure_is_saved(running_system, members: list[int], tab: Page):
    view = f"{running_system.page}/saliency?runs={joined(members)}"
    for words, query in (
        ("worst=leakage.share", {"worst": "leakage.share"}),
        ("only=wrong_all", {"only": "wrong_all"}),
        ("only=wrong_any", {"only": "wrong_any"}),
        ("only=disagree", {"only": "disagree"}),
    ):
        indices = [item.index for item in running_system.client.browse(members, limit=8, **query).items]
        assert indices, words
        tab.goto(f"{view}&{words}")
        expect(tab.locator(".dl-head")).to_have_text([f"test image {index}" for index in indices])

    tab.goto(f"{view}&samples=0,1&pin=7&starred=3,5&set=odd+ones&outline=True")
    expect(tab.locator(".dl-head")).to_have_text(["test image 7 · pinned", "test image 0", "test image 1"])
    expect(tab.locator(".dl-card").first).to_contain_text(re.compile(r"leak [\d.e-]+ · \d+%"))
    tab.get_by_role("button", name="Starred images").click()
    tab.get_by_role("button", name="Show the set").click()
    expect(tab.locator(".dl-head")).to_have_text(["test image 7 · pinned", "test image 3", "test image 5"])
    expect(tab).to_have_url(re.compile(r"samples=3%2C5.*starred=3%2C5&set=odd"))
    with tab.expect_download() as picture:
        tab.get_by_role("button", name="PNG").click()
    assert Image.open(picture.value.path()).width > 300
    with tab.expect_download() as drawing:
        tab.get_by_role("button", name="SVG").click()
    text = Path(drawing.value.path()).read_text()
    assert text.startswith("<svg") and text.count("<image") >= 3 * 4 and "test image 5" in text


@pytest.mark.slow
def test_each_hostile_image_is_refused_in_a_sentence_on_the_page(
    running_system, members: list[int], tab: Page, tmp_path: Path
):
    tab.goto(f"{running_system.page}/saliency?runs={members[0]}&samples=0")
    expect(tab.locator(".dl-card")).to_have_count(1)
    tab.get_by_role("button", name="Upload an image").click()
    for number, (make, words) in enumerate(HOSTILE.values()):
        file = tmp_path / f"hostile{number}.png"
        file.write_bytes(make())
        tab.locator("input[type=file]").set_input_files(file)
        expect(tab.get_by_role("alert")).to_contain_text(words, ignore_case=True)
        expect(tab.locator("[data-testid=stException]")).to_have_count(0)
    expect(tab.locator(".dl-head")).to_have_text(["test image 0"])  # the view does not change


def test_a_perturbation_is_measured_and_a_click_on_a_point_opens_its_least_stable_images(
    running_system, members: list[int], tab: Page
):
    tab.goto(f"{running_system.page}/stability?runs={joined(members)}&samples=0,1&perturbation=noise&strength=0.1")
    expect(tab.locator(".dl-card")).to_have_count(2)
    tab.locator("img[data-values]").first.hover()
    expect(tab.locator(".dl-probe")).to_contain_text(re.compile("λ 0: map: .*λ 1: difference: ", re.DOTALL))
    field = tab.get_by_role("textbox", name="Strengths")
    field.fill("0.2")
    field.press("Enter")
    tab.get_by_role("button", name="Evaluate 2 runs").click()
    chart = tab.locator(".densitylab-chart[aria-label^='cosine against']")
    expect_points(chart, re.compile("^6$"), timeout=PATIENCE / 1000)
    deadline = time.monotonic() + 60
    while "strength=0.2" not in tab.url:
        assert time.monotonic() < deadline
        tab.mouse.move(0, 0)  # parts still move while the page loads, so start again
        tab.mouse.move(*chart.evaluate(LAST_POINT))
        tab.wait_for_timeout(500)
        tab.mouse.click(*chart.evaluate(LAST_POINT))
        tab.wait_for_timeout(2000)
    worst = running_system.client.browse([members[1]], worst="stability.cosine", limit=2)
    expect(tab.locator(".dl-head")).to_have_text([f"test image {sample.index}" for sample in worst.items])


def test_log_p_is_drawn_along_a_direction_and_on_a_plane(running_system, members: list[int], tab: Page):
    tab.goto(f"{running_system.page}/density?runs={joined(members)}&samples=3&extent=2")
    charts = tab.locator(".densitylab-chart")
    expect(charts).to_have_count(1 + len(members))  # the line, and a plane of each run
    for chart in charts.all():
        expect_points(chart, re.compile("."), timeout=PATIENCE / 1000)
    expect(tab.get_by_role("heading", name="Around test image 3")).to_be_visible()
    lines = charts.first.evaluate("chart => chart.data.map(trace => trace.y)")
    assert [line[20] for line in lines] == pytest.approx([0, 0], abs=1e-4)
    assert all(len(set(line)) > 10 for line in lines)
