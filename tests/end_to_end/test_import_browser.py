"""A checkpoint as other programs write it: imported on the page in a real browser, with its maps and Compare."""

import io
import os
import re
import time
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Page, expect

from densitylab.backend.shared.contracts import ExperimentRequest, Origin, Run

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]
PATIENCE = 120_000  # milliseconds, on a machine that works meanwhile
WIDTH = 8
ACCURACY = "accuracy.accuracy"


@pytest.fixture(scope="module")
def trained(running_system) -> Run:
    """Train a small CNN."""
    client = running_system.client
    spec = {
        "model": {"key": "cnn", "params": {"width": WIDTH}},
        "epochs": 2,
        "train_samples": 2000,
        "lambda_": 0,
        "evaluations": [],
    }
    (run,) = client.launch(ExperimentRequest(name="Trained here", spec=spec)).runs
    deadline = time.monotonic() + 300
    while ACCURACY not in client.run(run).results:
        assert time.monotonic() < deadline, client.run(run).error
        time.sleep(0.5)
    return client.run(run)


@pytest.fixture
def checkpoint(running_system, trained, tmp_path) -> Path:
    """Write its weights as a DataParallel model of a training script has them."""
    stored = torch.load(
        io.BytesIO(running_system.client.artifact(trained.id, "checkpoint.pt")), weights_only=True, map_location="cpu"
    )["weights"]
    weights = {f"module.{name.removeprefix('1.')}": value for name, value in stored.items() if name.startswith("1.")}
    path = tmp_path / "of-a-colleague.pth"
    torch.save({"state_dict": weights, "epoch": 2, "best_acc": torch.tensor(91.0)}, path)
    return path


def shoot(tab: Page, name: str) -> None:
    """Save screenshots of a desktop and of a phone to the folder TEST_SCREENSHOTS, if that is set."""
    folder = os.environ.get("TEST_SCREENSHOTS")
    for device, width, height in (("desktop", 1440, 900), ("phone", 390, 844)) if folder else ():
        tab.set_viewport_size({"width": width, "height": height})
        tab.wait_for_timeout(1000)
        inner = tab.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        tab.set_viewport_size({"width": width, "height": min(max(inner, height), 4000)})
        tab.wait_for_timeout(1000)
        tab.screenshot(path=Path(str(folder)) / f"import-{name}-{device}.png")
        tab.set_viewport_size({"width": 1440, "height": 900})


def test_a_file_becomes_a_model_with_its_accuracy_its_maps_and_its_place_in_compare(
    running_system, browser: Browser, trained: Run, checkpoint: Path
):
    expect.set_options(timeout=PATIENCE)
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    thrown: list[str] = []
    tab.on("pageerror", lambda error: thrown.append(str(error)))

    tab.goto(f"{running_system.page}/models")
    expect(tab.get_by_text("No imported models yet")).to_be_visible()
    tab.locator("input[type=file]").set_input_files(checkpoint)
    tab.get_by_role("button", name="Inspect the file").click()
    tab.wait_for_url("**inspection=*")
    for words in ("read without running code", "under state_dict", "Prefix of the names, removed: module."):
        expect(tab.get_by_text(words)).to_be_visible()
    expect(tab.get_by_role("spinbutton", name="Width (channels)")).to_have_value(str(WIDTH))
    expect(tab.get_by_role("combobox", name="Networks that fit")).to_have_value(
        f"Small CNN (width = {WIDTH}): every weight fits"
    )
    tab.get_by_role("combobox", name="Image normalisation").click()
    tab.get_by_role("option", name="the data set's mean and deviation").click()
    shoot(tab, "form")
    tab.get_by_text("accuracy alone").click()
    source = tab.get_by_role("textbox", name="Source")
    source.fill("a colleague's <b>training</b>")
    source.press("Tab")
    tab.get_by_role("button", name="Import", exact=True).click()
    tab.wait_for_url("**import=*")
    expect(tab.get_by_text("n = 1,000").first).to_be_visible()
    expect(tab.get_by_role("heading", name="Models")).to_be_in_viewport()
    shoot(tab, "outcome")

    (imported,) = running_system.client.runs(origin=Origin.IMPORTED).items
    theirs, ours = trained.results[ACCURACY], imported.results[ACCURACY]
    assert (ours.value, ours.n) == (theirs.value, theirs.n)
    check = imported.source.normalization_check
    assert check.trials[check.chosen].name == "dataset" and len(check.trials) > 4
    expect(tab.get_by_test_id("stMetricValue")).to_have_text(f"{ours.value:.4f}")

    tab.get_by_role("button", name="Compare with 1 run").click()
    tab.wait_for_url("**/compare?runs=*")
    scatter = tab.locator(".densitylab-chart[aria-label^='Trade-off']").first
    expect(scatter).to_have_attribute("aria-label", re.compile("of-a-colleague.pth"))
    shoot(tab, "compare")

    tab.goto(f"{running_system.page}/run?run={imported.id}")
    expect(tab.get_by_text("imported model of-a-colleague.pth, Small CNN").first).to_be_visible()
    expect(tab.get_by_text("From: a colleague's <b>training</b>")).to_be_visible()
    expect(tab.get_by_text(imported.source.sha256).first).to_be_visible()
    shoot(tab, "run")

    tab.goto(f"{running_system.page}/saliency?runs={trained.id},{imported.id}")
    expect(tab.locator(".dl-card").first).to_be_visible()
    images = tab.locator(".dl-card").first.locator("img:not(.dl-outline)")
    shown = images.evaluate_all("images => images.map(image => image.src)")
    assert len(shown) == 3 and shown[-1] == shown[-2]  # image, and equal maps of equal weights
    shoot(tab, "saliency")
    context.close()
    assert thrown == []
