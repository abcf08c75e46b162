"""Own images, in a table and in a Parquet file: previewed, corrected, registered and used, in a real browser."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from densitylab.backend.shared.contracts import ExperimentRequest
from tests.end_to_end.expanders import open_expander
from tests.end_to_end.systems import RunningSystem, started

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]
PATIENCE = 60_000  # milliseconds, on a machine that works meanwhile
COUNT = 96


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the home of a system, with a table of images and a Parquet file in its data folder."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "data" / "birds"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines, columns = ["img_filename,y,split,place,photographer"], {"image": [], "label": [], "place": [], "split": []}
    for number in range(COUNT):
        y, place, split = number % 2, number // 2 % 2, (0, 0, 1, 2)[number // 4 % 4]
        pixels = rng.integers(0, 120, (24, 24, 3), dtype=np.uint8)
        pixels[:, :, place] += 80
        pixels[8:16, 8:16] = 255 * y
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        (folder / f"{number}.png").write_bytes(file.getvalue())
        lines.append(f"{number}.png,{y},{split},{place},{'AB'[number // 8 % 2]}")
        columns["image"].append({"bytes": file.getvalue(), "path": f"{number}.png"})
        columns["label"].append(("landbird", "waterbird")[y])
        columns["place"].append(("land", "water")[place])
        columns["split"].append(("train", "validation", "test")[split])
    (folder / "metadata.csv").write_text("\n".join(lines))
    pq.write_table(pa.table(columns), home / "data" / "birds.parquet")
    return home


@pytest.fixture(scope="module")
def system(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    with started(home, tmp_path_factory.mktemp("log") / "log.txt", {}) as system:
        yield system


def shoot(tab: Page, name: str) -> None:
    """Save a screenshot to the folder TEST_SCREENSHOTS, if that is set."""
    folder = os.environ.get("TEST_SCREENSHOTS")
    if folder:
        tab.screenshot(path=Path(folder) / f"own-data-{name}.png", full_page=True)


def choose(tab: Page, name: str, option: str) -> None:
    tab.get_by_role("combobox", name=name).first.click()
    tab.get_by_role("option", name=option, exact=True).click()


def preview(tab: Page, path: str) -> None:
    title = tab.get_by_text("Register your own images")
    field = tab.get_by_role("textbox", name="Folder, .zip, .npz or table")
    expect(title).to_be_visible()
    if not field.is_visible():
        open_expander(title)
    field.fill(path)
    field.press("Tab")
    tab.get_by_role("button", name="Preview", exact=True).click()
    tab.wait_for_url("**preview=*")


def register(tab: Page, label: str) -> None:
    field = tab.get_by_role("textbox", name="Name", exact=True)
    field.fill(label)
    field.press("Tab")
    tab.get_by_role("button", name="Register", exact=True).click()
    expect(tab.get_by_text("Registered: the data set is ready.")).to_be_visible()
    expect(tab.get_by_text(label, exact=True).first).to_be_visible()
    tab.reload()  # the form as it is for a new visitor


def test_a_table_and_a_parquet_file_are_previewed_registered_and_evaluated_by_group(
    system: RunningSystem, browser: Browser
):
    expect.set_options(timeout=PATIENCE)
    context = browser.new_context(viewport={"width": 1440, "height": 1600})
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    thrown: list[str] = []
    tab.on("pageerror", lambda error: thrown.append(str(error)))

    tab.goto(f"{system.page}/datasets")
    preview(tab, "birds")
    expect(tab.get_by_text(f"a table of images, {COUNT} images")).to_be_visible()
    expect(tab.locator(".dl-dataset img").first).to_be_visible()
    shoot(tab, "table")
    choose(tab, "Split", "photographer")  # a wrong column is refused with its line
    tab.get_by_role("button", name="Preview", exact=True).click()
    expect(tab.get_by_text("metadata.csv, line 2, column photographer: expected train, validation")).to_be_visible()
    shoot(tab, "refused")
    choose(tab, "Split", "split")
    register(tab, "Birds of a table")
    preview(tab, "birds.parquet")
    expect(tab.get_by_text(f"a table of images, {COUNT} images")).to_be_visible()
    shoot(tab, "parquet")
    register(tab, "Birds in Parquet")
    assert not thrown

    table, parquet = (system.client.dataset(key) for key in ("birds_of_a_table", "birds_in_parquet"))
    assert table.sizes == parquet.sizes == {"train": 48, "validation": 24, "test": 24}
    assert table.group_names[1] == "0, place 1" and parquet.group_names[1] == "landbird, water"
    spec = {
        "dataset": {"key": "birds_of_a_table"},
        "model": {"key": "mlp", "params": {"hidden": 16}},
        "lambda_": 0,
        "epochs": 3,
        "evaluations": [{"key": "groups", "params": {"attributes": ["place"]}}],
    }
    (run,) = system.client.launch(ExperimentRequest(name="By place", spec=spec)).runs
    (ended,) = system.client.wait(runs=[run], timeout=240)
    assert len([name for name in ended.results if name.startswith("groups.group_")]) == 4
    context.close()
