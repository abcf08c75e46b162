"""The λ slider in a real browser: the maps of each λ, painted at once."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from densitylab.backend.shared.contracts import ExperimentRequest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
PATIENCE = 120_000  # milliseconds, on a machine that trains meanwhile
REQUEST = ExperimentRequest(
    name="over lambda",
    spec={"epochs": 1, "train_samples": 300, "evaluations": []},
    sweep={"lambda_": [0, 0.1, 1], "seed": [0]},
)


@pytest.fixture(scope="module")
def experiment(running_system) -> int:
    """Train three runs that differ in λ."""
    launched = running_system.client.launch(REQUEST)
    running_system.client.wait(launched.id, check=True)
    return launched.id


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


def test_keys_move_through_every_lambda_and_each_has_its_own_maps(running_system, tab, experiment):
    tab.goto(f"{running_system.page}/lambda?experiment={experiment}&image=7")
    slider = tab.get_by_role("slider", name="λ")
    slider.wait_for()
    root = tab.locator(".densitylab-lambda")
    pictures = "() => [...document.querySelectorAll('.densitylab-lambda img:first-child')].map((item) => item.src)"
    seen = []
    for label in ("λ 0", "λ 0.1", "λ 1"):
        expect(root.locator("output")).to_have_text(label)
        seen.append(tab.evaluate(pictures))
        tab.keyboard.press("ArrowRight")
    assert all(len(urls) == 5 for urls in seen)
    first, second, third = seen
    assert first[0] == second[0] == third[0]  # the image
    assert len({first[1], second[1], third[1]}) == len({first[2], second[2], third[2]}) == 3  # the maps
    expect(root.locator("output")).to_have_text("λ 1")  # the last one stays
    tab.keyboard.press("ArrowLeft")
    expect(root.locator("output")).to_have_text("λ 0.1")
    expect(root.locator("figcaption").nth(1)).to_contain_text("leak")
    (run,) = [run.id for run in running_system.client.runs_of(experiment) if run.spec.lambda_ == 0.1]
    expect(root.get_by_role("link", name=f"run {run}")).to_have_attribute("href", f"run?run={run}")

    before = tab.evaluate(pictures)
    image = tab.get_by_role("spinbutton", name="Test image")
    image.fill("8")
    image.press("Enter")
    tab.wait_for_url("**image=8*")
    drawn = "first => (document.querySelector('.densitylab-lambda img')?.src ?? first) !== first"
    tab.wait_for_function(drawn, arg=before[0])
    image.blur()
    expect(root.locator("output")).to_have_text("λ 0.1")  # another image at the same λ
    tab.keyboard.press("ArrowRight")
    expect(root.locator("output")).to_have_text("λ 1")

    tab.set_viewport_size({"width": 390, "height": 844})  # the pictures wrap, and none is cut off
    last, below = root.locator("figure").last.bounding_box(), tab.get_by_text("Red raises the score").bounding_box()
    assert last["y"] + last["height"] <= below["y"]


def test_an_experiment_with_one_lambda_says_what_is_needed(running_system, tab):
    spec = {"epochs": 1, "train_samples": 100, "evaluations": []}
    launched = running_system.client.launch(ExperimentRequest(name="one lambda", spec=spec))
    tab.goto(f"{running_system.page}/lambda?experiment={launched.id}")
    expect(tab.get_by_text("needs at least two trained runs that differ in λ")).to_be_visible(timeout=PATIENCE)
