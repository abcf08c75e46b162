"""The Launch page in a real browser: values out of range, the keyboard, a reload, and the summary in view."""

import itertools
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from densitylab.backend.shared.contracts import ExperimentRequest
from tests.end_to_end.expanders import open_expander

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
PATIENCE = 60_000  # milliseconds, on a machine that trains meanwhile
ESSENTIALS = [
    "Data set",
    "Model",
    "Regularizer",
    "λ (penalty weights)",
    "First sweep",
    "Seeds",
    "Epochs",
    "Batch size",
    "Evaluations",
]
expect.set_options(timeout=PATIENCE)


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """Open a browser window."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


def open_form(system, tab: Page, link: str = "") -> None:
    tab.goto(f"{system.page}/launch{link}")
    expect(launch_button(tab)).to_be_enabled()
    tab.wait_for_timeout(2_000)  # the listeners come with their components' scripts


def launch_button(tab: Page):
    return tab.locator(".st-key-launch-button").get_by_role("button")


def summary(tab: Page):
    return tab.locator(".st-key-launch-summary")


def experiments(system) -> int:
    return len(system.client.experiments(limit=200).items)


def test_a_value_that_cannot_be_launched_disables_the_button_and_is_a_jump_away(running_system, tab):
    open_form(running_system, tab)
    before = experiments(running_system)
    for label, bad, good in [("Epochs", "0", "3"), ("Batch size", "99999999", "100")]:
        field = tab.get_by_role("spinbutton", name=label, exact=True)
        field.fill(bad)
        # Without leaving the field first: the click is what makes the page read it
        launch_button(tab).click()
        expect(launch_button(tab)).to_be_disabled()
        expect(field).to_have_value(bad)
        link = summary(tab).get_by_role("link", name=re.compile("expected a number"))
        tab.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, main.scrollHeight)")
        link.click()
        expect(field).to_be_focused()
        expect(field).to_be_in_viewport()
        field.fill(good)
        field.press("Enter")
        expect(launch_button(tab)).to_be_enabled()
    for label, bad, good in [("λ (penalty weights)", "-1", "0.1"), ("λ (penalty weights)", "0.1, 1e", "0.1")]:
        field = tab.get_by_role("textbox", name=label)
        field.fill(bad)
        launch_button(tab).click()
        expect(launch_button(tab)).to_be_disabled()
        field.fill(good)
        field.press("Enter")
        expect(launch_button(tab)).to_be_enabled()
    assert "/launch" in tab.url and experiments(running_system) == before


def test_half_a_number_is_not_shown_as_one(running_system, tab):
    open_form(running_system, tab)
    field = tab.get_by_role("spinbutton", name="Epochs", exact=True)
    start = field.input_value()
    field.click()
    field.press("Control+a")
    field.press_sequentially("1e")
    field.press("Tab")
    expect(field).to_have_value(start)


def test_ten_tabs_pass_the_essentials_and_ctrl_enter_launches(running_system, tab):
    open_form(running_system, tab)
    tab.get_by_role("combobox", name="Data set", exact=True).focus()
    passed = []
    for _ in range(10):
        passed.append(
            tab.evaluate(
                "document.activeElement.closest('[data-testid=stMultiSelect]')?.querySelector('label').innerText"
                " ?? document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText"
            )
        )
        tab.keyboard.press("Tab")
    names = [next((label for label in ESSENTIALS if label in name), name) for name in passed]
    assert list(dict.fromkeys(names)) == ESSENTIALS  # the icon that explains λ is a stop of its own
    tab.get_by_role("spinbutton", name="Epochs", exact=True).fill("2")
    tab.keyboard.press("Control+Enter")  # the number is not confirmed by Enter or Tab
    tab.wait_for_url("**/run?run=*")
    run = int(re.search(r"run=(\d+)", tab.url).group(1))
    assert running_system.client.run(run).spec.epochs == 2


def test_enter_chooses_one_of_several_matches(running_system, tab):
    open_form(running_system, tab)
    choice = tab.get_by_test_id("stMultiSelect").filter(has_text="Evaluations")
    before = choice.locator("[data-tag]").count()
    field = choice.get_by_role("combobox")
    field.click()
    field.press_sequentially("autoattack")
    expect(tab.get_by_role("option")).to_have_count(2)
    field.press("Enter")
    expect(choice.locator("[data-tag]")).to_have_count(before + 1)
    expect(choice).to_contain_text("AutoAttack L∞")


def test_the_open_settings_of_an_evaluation_stay_open_when_another_is_removed(running_system, tab):
    open_form(running_system, tab, "?preset=demo")
    settings = tab.get_by_text("Adversarial accuracy, PGD L∞: settings")
    open_expander(settings)
    tab.get_by_role("button", name="Remove Feature leakage").click()
    expect(tab.get_by_text("Feature leakage: settings")).to_have_count(0)
    expect(tab.locator("details[open]").filter(has=settings)).to_be_visible()


def test_the_form_and_the_changes_of_a_copy_survive_a_reload(running_system, tab):
    (run,) = running_system.client.launch(ExperimentRequest(name="to copy", spec={"epochs": 2, "evaluations": []})).runs
    open_form(running_system, tab, f"?clone={run}")
    tab.get_by_role("textbox", name="λ (penalty weights)").fill("0, 0.5")
    tab.get_by_role("spinbutton", name="Epochs", exact=True).fill("7")
    tab.keyboard.press("Enter")
    expect(launch_button(tab)).to_have_text(re.compile("Launch 2 runs"))
    tab.wait_for_url("**draft=*")
    length = tab.evaluate("history.length")
    tab.reload()
    expect(tab.get_by_role("spinbutton", name="Epochs", exact=True)).to_have_value("7")
    expect(tab.get_by_role("textbox", name="λ (penalty weights)")).to_have_value("0, 0.5")
    copy = tab.get_by_text(f"Copy of run {run}").first
    expect(copy).to_be_in_viewport()
    expect(tab.get_by_text(re.compile("Epochs: 2 → 7"))).to_be_in_viewport()
    assert tab.evaluate("history.length") == length  # an edit is no step back


def test_the_summary_stays_in_view_in_a_wide_window(running_system, tab):
    open_form(running_system, tab)
    main = tab.get_by_test_id("stMain")
    assert main.evaluate("main => main.scrollHeight > 1.5 * main.clientHeight")
    main.evaluate("main => main.scrollTo(0, main.scrollHeight)")
    expect(tab.get_by_role("textbox", name="Notes")).to_be_in_viewport()
    expect(launch_button(tab)).to_be_in_viewport(ratio=1)
    expect(summary(tab).get_by_text("Tensors per run")).to_be_in_viewport(ratio=1)
    form, beside = tab.locator(".st-key-launch-essentials").bounding_box(), summary(tab).bounding_box()
    assert form["x"] + form["width"] <= beside["x"]


def test_a_narrow_window_has_one_column_with_the_summary_after_the_essentials(running_system, tab):
    tab.set_viewport_size({"width": 390, "height": 844})
    open_form(running_system, tab)
    parts = [tab.locator(f".st-key-launch-{name}").bounding_box() for name in ("essentials", "summary", "settings")]
    for above, below in itertools.pairwise(parts):
        assert above["y"] + above["height"] <= below["y"] and above["x"] == below["x"]
    for element in ("document.documentElement", "document.querySelector('[data-testid=stMain]')"):
        assert tab.evaluate(f"{element}.scrollWidth - {element}.clientWidth") <= 0
