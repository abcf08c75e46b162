"""Behaviour that needs a browser: state that survives a refresh, keys, and accessibility."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from densitylab.backend.shared.contracts import BulkAction, BulkRequest, ExperimentRequest, RunPatch

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
PATIENCE = 60_000  # milliseconds, on a machine that trains meanwhile
TEN_REFRESHES = 10 * 2_000  # of the slower page


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """Open a browser window."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def experiment(running_system) -> Iterator[int]:
    """Launch sixty runs, of which the first train during all these tests."""
    launched = running_system.client.launch(
        ExperimentRequest(
            name="watched",
            spec={"epochs": 2000, "evaluations": []},
            sweep={"seed": list(range(60))},
        )
    )
    deadline = time.monotonic() + 300
    while not any(item.points for item in running_system.client.metrics_of(launched.runs[:1], ["loss"])):
        assert time.monotonic() < deadline, running_system.client.run(launched.runs[0]).stage
        time.sleep(0.5)
    yield launched.id
    running_system.client.act_on_runs(BulkRequest(action=BulkAction.CANCEL, runs=launched.runs))


@pytest.mark.slow
def test_the_text_of_a_chart_follows_the_theme(running_system, tab, experiment):
    tab.goto(f"{running_system.page}/experiment?experiment={experiment}&metric=loss")
    tab.locator(".densitylab-chart[data-points]").first.wait_for()
    tab.get_by_text("Pause", exact=True).click()  # otherwise a refresh would draw it anew
    tab.wait_for_timeout(3 * 2_000)
    color = "() => document.querySelector('.densitylab-chart').layout.font.color"
    light = tab.evaluate(color)
    tab.emulate_media(color_scheme="dark")
    tab.wait_for_function(f"light => ({color})() !== light", arg=light)


@pytest.mark.slow
def test_zoom_hidden_curves_a_selected_row_and_a_half_typed_word_survive_ten_refreshes(
    running_system, browser, tab, experiment
):
    tab.goto(f"{running_system.page}/experiment?experiment={experiment}&metric=loss")
    chart = tab.locator(".densitylab-chart[data-points]").first
    chart.wait_for()
    before = int(chart.get_attribute("data-points"))
    area = chart.locator(".nsewdrag").first.bounding_box()
    tab.mouse.move(area["x"] + area["width"] * 0.2, area["y"] + area["height"] * 0.5)
    tab.mouse.down()
    tab.mouse.move(area["x"] + area["width"] * 0.6, area["y"] + area["height"] * 0.5, steps=8)
    tab.mouse.up()
    chart.locator(".legendtoggle").first.click()
    tab.wait_for_timeout(1_000)  # two clicks would be a double click
    state = """() => {
        const chart = document.querySelector('.densitylab-chart');
        return [chart.layout.xaxis.range, chart._fullData[0].visible, chart.classList.contains('the-very-same')];
    }"""
    tab.evaluate("document.querySelector('.densitylab-chart').classList.add('the-very-same')")
    chosen = tab.evaluate(state)

    # The other page refreshes in a separate window with a separate focus
    other = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
    other.set_default_timeout(PATIENCE)
    other.goto(f"{running_system.page}/runs?experiment={experiment}")
    table = other.get_by_test_id("stDataFrame")
    table.wait_for()
    other.wait_for_timeout(2_000)
    table.click(position={"x": 16, "y": 52})  # the first row's box
    expect(other.get_by_role("button", name="Cancel 1")).to_be_enabled()
    search = other.get_by_role("textbox", name="Search")
    search.press_sequentially("half a wo")

    other.wait_for_timeout(TEN_REFRESHES)
    expect(search).to_have_value("half a wo")
    expect(search).to_be_focused()
    expect(other.get_by_role("button", name="Cancel 1")).to_be_enabled()
    other.context.close()
    assert tab.evaluate(state) == chosen and chosen[1:] == ["legendonly", True]
    assert int(chart.get_attribute("data-points")) > before


@pytest.mark.slow
@pytest.mark.parametrize(("path", "choice"), [("compare", "Experiments"), ("experiment", "Metric")])
def test_a_list_and_a_dialog_stay_open_over_ten_refreshes(running_system, tab, path, choice):
    client = running_system.client
    request = {"name": "many", "spec": {"epochs": 2000, "evaluations": []}, "sweep": {"seed": list(range(6))}}
    launched = client.launch(request)
    tab.goto(f"{running_system.page}/{path}?experiment={launched.id}")
    cancel = tab.get_by_role("button", name="Cancel 6")
    cancel.wait_for()
    tab.get_by_role("combobox", name=choice).click()
    tab.get_by_role("listbox").wait_for()
    tab.wait_for_timeout(TEN_REFRESHES)
    expect(tab.get_by_role("listbox")).to_be_visible()
    tab.keyboard.press("Escape")
    cancel.click()
    dialog = tab.get_by_role("dialog", name="Cancel runs")
    dialog.wait_for()
    tab.wait_for_timeout(TEN_REFRESHES)
    dialog.get_by_role("button", name="Cancel 6 runs").click()
    expect(tab.get_by_text("Cancelling 6 of 6 runs.")).to_be_visible(timeout=PATIENCE)
    expect(dialog).to_be_hidden()
    assert client.experiment(launched.id).counts.get("queued", 0) == 0


def test_back_leaves_compare_at_once(running_system, tab, experiment):
    tab.goto(f"{running_system.page}/runs")
    tab.get_by_role("textbox", name="Search").wait_for()
    tab.wait_for_timeout(2_000)  # the listener comes with the component's script
    tab.get_by_role("heading", name="Runs").click()
    tab.keyboard.press("g")
    tab.keyboard.press("c")
    tab.wait_for_url("**/compare?experiment=*")
    tab.go_back()
    tab.wait_for_url("**/runs")
    expect(tab.get_by_role("heading", name="Runs", level=1)).to_be_visible()


def test_a_page_opens_at_its_top_after_a_scrolled_page(running_system, tab, experiment):
    run = running_system.client.experiment(experiment).runs[0]
    main = tab.get_by_test_id("stMain")
    for _ in range(2):
        tab.goto(f"{running_system.page}/run?run={run}")
        tab.locator(".densitylab-chart[data-points]").first.wait_for()
        clone = tab.get_by_role("button", name="Clone and edit")
        main.evaluate("main => main.scrollTo(0, main.scrollHeight)")
        clone.evaluate("button => button.click()")  # without scrolling, unlike a mouse click
        tab.get_by_role("button", name="Launch 1 run").wait_for()
        assert main.evaluate("main => main.scrollTop") == 0


def test_listed_keys_open_the_pages(running_system, tab):
    tab.goto(running_system.page)
    tab.get_by_role("button", name="Keyboard shortcuts").wait_for()
    tab.wait_for_timeout(2_000)  # the listener comes with the component's script
    tab.get_by_role("heading", name="DensityLab").click()
    tab.keyboard.press("?")
    expect(tab.get_by_role("dialog", name="Keyboard shortcuts")).to_contain_text("g then r")
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()
    tab.keyboard.press("g")
    tab.keyboard.press("r")
    tab.wait_for_url("**/runs")
    expect(tab.get_by_role("heading", name="Runs", level=1)).to_be_visible()
    tab.get_by_role("textbox", name="Search").wait_for()
    tab.keyboard.press("/")
    expect(tab.get_by_role("textbox", name="Search")).to_be_focused()
    tab.keyboard.type("gl")  # typed text is no shortcut
    assert tab.url.endswith("/runs")


@pytest.mark.parametrize(("path", "key"), [("runs", "q"), ("experiments", "search")])
@pytest.mark.few(1)
def test_a_link_restores_the_search_in_a_new_browser(running_system, browser, tab, path, key):
    tab.goto(f"{running_system.page}/{path}")
    search = tab.get_by_role("textbox", name="Search")
    search.fill("watched")
    search.press("Enter")
    tab.wait_for_url(f"**{key}=watched*")
    stranger = browser.new_context().new_page()
    stranger.goto(tab.url)
    expect(stranger.get_by_role("textbox", name="Search")).to_have_value("watched", timeout=PATIENCE)
    stranger.context.close()


@pytest.mark.slow
@pytest.mark.parametrize("page", ["run", "experiment"])
def test_a_link_restores_the_axes_of_the_curves_in_a_new_browser(running_system, browser, tab, experiment, page):
    number = experiment if page == "experiment" else running_system.client.experiment(experiment).runs[0]
    axis = """() => {
        const drawn = document.querySelector('.densitylab-chart[data-points]')?.layout;
        return drawn && drawn.xaxis.type === 'log' && drawn.xaxis.title.text === 'epoch';
    }"""
    tab.goto(f"{running_system.page}/{page}?{page}={number}")
    tab.locator(".densitylab-chart[data-points]").first.wait_for()
    tab.get_by_text("epoch", exact=True).first.click()
    tab.wait_for_url("**x=epoch*")
    tab.get_by_text("Log x", exact=True).click()
    tab.wait_for_url("**logx=true*")
    tab.wait_for_function(axis)
    stranger = browser.new_context().new_page()
    stranger.goto(tab.url)
    stranger.wait_for_function(axis, timeout=PATIENCE)
    stranger.context.close()


@pytest.mark.slow
def test_a_link_restores_the_images_of_a_data_set_in_a_new_browser(running_system, browser, tab, experiment):
    deadline = time.monotonic() + 120
    while running_system.client.dataset("blockmnist").status != "ready":  # the runs prepare it
        assert time.monotonic() < deadline
        time.sleep(0.5)
    tab.goto(f"{running_system.page}/datasets")
    tab.get_by_text("train", exact=True).click()
    tab.wait_for_url("**split=train*")
    tab.get_by_role("combobox", name="Class").click()
    tab.get_by_role("option", name="4", exact=True).click()
    tab.wait_for_url("**class=4*")
    tab.get_by_role("spinbutton", name="From index").fill("24")
    tab.get_by_role("spinbutton", name="From index").press("Enter")
    tab.wait_for_url("**from=24*")
    images = tab.locator("[data-testid=stMain] img")
    images.first.wait_for()
    tab.wait_for_timeout(2_000)
    sources = "images => images.map(image => image.src)"
    shown = images.evaluate_all(sources)
    stranger = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
    stranger.goto(tab.url)
    again = stranger.locator("[data-testid=stMain] img")
    expect(again).to_have_count(len(shown), timeout=PATIENCE)
    assert len(shown) > 5 and again.evaluate_all(sources) == shown
    stranger.context.close()


def test_a_run_deleted_in_another_window_is_reported(running_system, tab):
    client = running_system.client
    (run,) = client.launch(ExperimentRequest(name="to be deleted", spec={"epochs": 2000, "evaluations": []})).runs
    tab.goto(f"{running_system.page}/run?run={run}")
    tab.get_by_role("button", name="Cancel").wait_for()
    client.cancel_run(run)
    deadline = time.monotonic() + 60
    while not client.run(run).status.final:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    client.delete_run(run)
    tab.reload()
    expect(tab.get_by_text(f"There is no run {run}; it may have been deleted.")).to_be_visible(timeout=PATIENCE)
    expect(tab.get_by_role("link", name="All runs")).to_be_visible()


def test_back_leads_from_a_page_that_a_button_opened_to_the_address_before(running_system, tab):
    client = running_system.client
    launched = client.launch(ExperimentRequest(name="back", spec={"epochs": 1, "evaluations": []}))
    (run,) = launched.runs
    tab.goto(f"{running_system.page}/run?run={run}")
    for button, opened in (("Experiment", "experiment"), ("Compare", "compare")):
        tab.get_by_role("button", name=button, exact=True).click()
        tab.wait_for_url(f"**/{opened}?experiment={launched.id}")
    tab.get_by_role("heading", name="Compare", level=1).wait_for()
    tab.go_back()
    tab.wait_for_url(f"**/experiment?experiment={launched.id}")
    tab.get_by_role("heading", name="back", level=1).wait_for()
    tab.go_back()
    tab.wait_for_url(f"**/run?run={run}")
    tab.get_by_role("heading", name=f"Run {run}").wait_for()


def test_a_page_that_an_error_of_streamlits_turns_white_is_loaded_again_once(running_system, tab):
    broken = "setTimeout(() => { throw new Error('Bad delta path index 8 (should be between [0, 4])') })"
    tab.goto(f"{running_system.page}/runs")
    tab.wait_for_function("window.densitylabRecovers")
    tab.evaluate("window.before = true")
    tab.evaluate(broken)
    tab.wait_for_function("window.before === undefined && window.densitylabRecovers")
    tab.evaluate("window.before = true")
    tab.evaluate(broken)
    tab.wait_for_timeout(1500)
    assert tab.evaluate("window.before")  # one that breaks at once again stays, and is not loaded for ever


def test_ticks_stay_at_their_runs_where_the_browser_has_sorted_them(running_system, tab):
    """The browser forgets its order when a column appears before the sorted one: "Name", with the first name."""
    client = running_system.client
    request = {"name": "ticked", "spec": {"epochs": 2000, "evaluations": []}, "sweep": {"seed": [3, 1, 2]}}
    launched = client.launch(request)
    tab.goto(f"{running_system.page}/runs?experiment={launched.id}&columns=Seed")
    table = tab.get_by_test_id("stDataFrame")
    table.locator("[role=columnheader]", has_text="Seed").wait_for(state="attached")
    tab.wait_for_timeout(2_000)  # until nothing above moves it
    box = table.bounding_box()
    tab.mouse.click(box["x"] + box["width"] - 60, box["y"] + 16)  # sorted by the seed
    table.locator("[role=columnheader]", has_text="↑ Seed").wait_for(state="attached")
    tab.mouse.click(box["x"] + 12, box["y"] + 52)
    tab.get_by_text("The table stays as it is").wait_for()
    number = table.locator("[role=row][aria-selected=true] [role=gridcell]").nth(1)
    assert int(number.inner_text()) == launched.runs[1]
    client.change_run(launched.runs[0], RunPatch(name="named meanwhile"))
    client.act_on_runs(BulkRequest(action=BulkAction.CANCEL, runs=launched.runs))
    expect(tab.get_by_role("button", name="Retry 1")).to_be_enabled()  # the page has seen both
    tab.wait_for_timeout(2 * 2_000)
    assert int(number.inner_text()) == launched.runs[1]


def test_refused_inputs_say_so_in_their_popovers_and_keep_what_was_typed(running_system, tab):
    """Forms that Streamlit's own driver cannot reach, or whose popover must stay open while the row below changes."""
    client = running_system.client
    launched = client.launch(ExperimentRequest(name="tagged", spec={"epochs": 2000, "evaluations": []}))
    (run,) = launched.runs
    tab.goto(f"{running_system.page}/runs?experiment={launched.id}")
    table = tab.get_by_test_id("stDataFrame").locator("canvas").first
    table.wait_for()
    box = table.bounding_box()
    tab.mouse.click(box["x"] + 12, box["y"] + 52)  # the box of the first row
    tab.get_by_role("button", name="Tag 1").click()
    field = tab.get_by_role("textbox", name="Tag", exact=True)
    field.fill("half a ta")
    client.cancel_run(run)
    expect(tab.get_by_role("button", name="Retry 1")).to_be_enabled()  # the page has seen it
    expect(field).to_have_value("half a ta")
    field.fill("bad tag")
    tab.get_by_role("button", name="Add tag").click()
    expect(tab.get_by_text("A tag has letters, digits")).to_be_visible()
    expect(field).to_have_value("bad tag")
    field.fill("good-tag")
    tab.get_by_role("button", name="Add tag").click()
    expect(tab.get_by_text("A tag has letters, digits")).to_have_count(0)
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("button", name="Tag 0")).to_be_visible()  # the selection is cleared
    tab.wait_for_timeout(1_000)  # until the table is drawn anew
    tab.mouse.click(box["x"] + 12, box["y"] + 52)
    tab.get_by_test_id("stPopover").get_by_text("Name", exact=True).click()
    tab.get_by_role("textbox", name="Name", exact=True).fill("teacher")
    tab.get_by_role("button", name="Save", exact=True).click()
    deadline = time.monotonic() + 60
    while client.run(run).name != "teacher":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    tab.goto(f"{running_system.page}/run?run={run}")
    tab.get_by_role("button", name="Name, notes and tags").click()
    tab.get_by_role("combobox", name="Tags").fill("my tag!")
    tab.keyboard.press("Enter")
    tab.get_by_role("textbox", name="Notes").click()  # closes the list of tags
    tab.get_by_role("button", name="Save", exact=True).click()
    expect(tab.get_by_text("A tag has letters, digits")).to_be_visible()
    expect(tab.get_by_test_id("stException")).to_have_count(0)
    assert running_system.client.run(run).tags == ["good-tag"]


@pytest.mark.slow
def test_a_link_to_a_preset_fills_the_form_in_a_new_browser(running_system, browser, tab):
    tab.goto(f"{running_system.page}/launch")
    tab.get_by_role("button", name="Presets").click()
    tab.get_by_role("button", name="Use this preset").first.click()
    tab.wait_for_url("**preset=quick*")
    stranger = browser.new_context().new_page()
    stranger.goto(tab.url)
    expect(stranger.get_by_role("textbox", name="Name", exact=True)).to_have_value("Quick look", timeout=PATIENCE)
    stranger.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(running_system, browser, experiment, scheme):
    script = os.environ.get("TEST_AXE")
    if not script:
        pytest.skip("TEST_AXE does not name axe-core's axe.min.js")
    tab = browser.new_context(color_scheme=scheme, viewport={"width": 1400, "height": 1000}).new_page()
    tab.set_default_timeout(PATIENCE)
    violations = []
    run = running_system.client.experiment(experiment).runs[0]
    pages = [
        "",
        "launch",
        "experiments",
        f"experiment?experiment={experiment}",
        "runs",
        f"run?run={run}",
        "models",
        f"compare?experiment={experiment}",
        f"saliency?runs={run}",
        f"stability?runs={run}",
        f"density?runs={run}",
        f"lambda?experiment={experiment}",
        "studies",
        "datasets",
        "system",
    ]
    for path in pages:
        tab.goto(f"{running_system.page}/{path}")
        tab.get_by_role("heading", level=1).wait_for()
        tab.wait_for_timeout(3_000)
        tab.evaluate(Path(script).read_text(encoding="utf-8"))
        answer = tab.evaluate("axe.run(document, {resultTypes: ['violations']})")
        violations += [
            (path, item["id"], item["nodes"][0]["html"][:200])
            for item in answer["violations"]
            if item["id"] != "presentation-role-conflict"  # of Streamlit's file uploader
        ]
    tab.context.close()
    assert violations == []
