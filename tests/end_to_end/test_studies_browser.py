"""A study in a real browser, from its price to the images behind a claim."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.end_to_end.expanders import open_expander
from tests.end_to_end.systems import RunningSystem

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(4000)]
PATIENCE = 90_000  # milliseconds
DRAWN = "() => [...document.querySelectorAll('.dl-card img')].every(image => image.complete && image.naturalWidth > 0)"
DONE_WITHIN = 3_600_000  # milliseconds: nine minutes on two cores, more beside other tests


def test_a_study_is_launched_watched_and_its_claim_opened(running_system: RunningSystem, browser: Browser):
    page = browser.new_context(viewport={"width": 1440, "height": 1600}).new_page()
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    launch_leakage(running_system, page)
    expect(page.get_by_text("45 succeeded").first).to_be_visible(timeout=DONE_WITHIN)
    expect(page.get_by_text("The study has not finished")).to_have_count(0, timeout=DONE_WITHIN)
    open_claim(running_system, page)
    page.context.close()


def launch_leakage(system: RunningSystem, page: Page) -> None:
    page.goto(f"{system.page}/studies")
    page.get_by_role("link", name="minutes: about 9 min on two CPU cores").first.click()
    expect(page).to_have_url(re.compile(r"key=leakage&size=minutes"))
    expect(page.get_by_text("Price on two CPU cores")).to_be_visible()
    page.get_by_role("button", name="Launch 45 runs").click()
    expect(page).to_have_url(re.compile(r"study=\d+"))
    expect(page.get_by_role("heading", name="Feature leakage")).to_be_visible()
    expect(page.get_by_text("not stated").first).to_be_visible()
    expect(page.get_by_role("progressbar").first).to_be_visible()


def open_claim(system: RunningSystem, page: Page) -> None:
    """Open the tests of the first claim, then the comparison of its two groups, then an image of each."""
    study = int(re.findall(r"study=(\d+)", page.url)[0])
    claim = system.client.study_report(study).claims[0]
    expect(page.get_by_text(claim.text, exact=True)).to_be_visible()
    expect(page.get_by_text(claim.reason).first).to_be_visible()
    open_expander(page.get_by_text("Tests", exact=True).first)
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible()
    page.get_by_role("link", name="compare", exact=True).first.click()
    expect(page).to_have_url(re.compile(r"/compare\?runs="))
    expect(page.get_by_role("heading", name="Compare", exact=True)).to_be_visible()
    assert set(system.client.experiment(system.client.run(claim.first[0]).experiment).runs) >= set(
        claim.first + claim.second
    )
    page.get_by_role("button", name="Saliency maps of 2 groups").click()
    expect(page).to_have_url(re.compile(r"/saliency\?runs="))
    shown = {int(number) for number in re.findall(r"\d+", page.url.partition("runs=")[2].replace("%2C", ","))}
    assert len(shown & set(claim.first)) == len(shown & set(claim.second)) == 1
    images = page.locator(".dl-card img:not(.dl-outline)")
    expect(images.nth(1)).to_be_visible()
    page.wait_for_function(DRAWN)
