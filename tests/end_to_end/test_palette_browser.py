"""The command palette in a real browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from densitylab.backend.shared.contracts import ExperimentRequest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
PATIENCE = 60_000  # milliseconds, on a machine that trains meanwhile


@pytest.fixture
def tab(browser: Browser, running_system) -> Iterator[Page]:
    """Open the page; the palette's script is there once a key opens it."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(f"{running_system.page}/system")
    page.get_by_role("heading", name="System", level=1).wait_for()
    page.get_by_role("button", name="Keyboard shortcuts").wait_for()
    page.wait_for_timeout(2_000)  # the listener comes with the component's script
    yield page
    context.close()


def opened(tab: Page):
    """Press the keys and return the field and the list of what was found."""
    tab.keyboard.press("Control+k")
    palette = tab.get_by_role("dialog", name="Go to")
    expect(palette).to_be_visible(timeout=PATIENCE)
    return palette.get_by_role("combobox"), palette.get_by_role("option")


def test_a_page_is_found_and_opened_by_keys_alone(tab):
    field, found = opened(tab)
    expect(found.first).to_have_text("Home")
    field.press_sequentially("images own")
    expect(found).to_have_count(1)
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/datasets")
    expect(tab.get_by_role("heading", name="Data", level=1)).to_be_visible()


def test_experiments_and_runs_are_found_by_name_and_by_number(running_system, tab):
    request = ExperimentRequest(name="looked for", spec={"epochs": 1, "train_samples": 100, "evaluations": []})
    experiment = running_system.client.launch(request)
    field, found = opened(tab)
    field.fill("compare looked for")
    expect(found).to_have_text([f"Compare experiment {experiment.id} · looked for"], timeout=PATIENCE)
    found.first.click()
    tab.wait_for_url(f"**/compare?experiment={experiment.id}*")
    tab.get_by_role("heading", name="Compare", level=1).wait_for()
    tab.wait_for_timeout(3_000)

    field, found = opened(tab)
    field.fill("123456")
    expect(found.first).to_have_text("Run 123456")
    field.fill(f"run {experiment.runs[0]}")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowUp")
    expect(found.first).to_have_attribute("aria-selected", "true")
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"**/run?run={experiment.runs[0]}*")


def test_what_nothing_has_is_said_and_typed_keys_are_no_shortcuts(tab):
    field, found = opened(tab)
    field.press_sequentially("gr?zz")
    expect(found).to_have_count(0)
    expect(tab.get_by_text("Nothing has this name")).to_be_visible()
    expect(tab.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("dialog", name="Go to")).to_be_hidden()
    assert tab.url.endswith("/system")
