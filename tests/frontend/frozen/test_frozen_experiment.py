"""The frozen page of an experiment against a real API: its numbers are the API's, and it needs nothing else."""

import io
import json
import re
import zipfile
from statistics import fmean

import httpx
import pytest
from PIL import Image

from densitylab.backend.shared.contracts import RunPatch
from densitylab.frontend.client import ApiError
from densitylab.frontend.frozen.experiment import freeze_experiment
from densitylab.frontend.frozen.folder import Files, archive
from densitylab.frontend.report import experiment_report
from tests.frontend.frozen.folders import document, hashes, missing_targets
from tests.frontend.report.test_report import ACCURACIES, TRICKY

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def impatient(monkeypatch) -> None:
    """No worker draws maps in these tests."""
    monkeypatch.setattr(experiment_report, "MAP_PATIENCE", 0.0)


@pytest.fixture
def experiment(live_api) -> int:
    run_ids = live_api.launch({"evaluations": [], "epochs": 3}, {"lambda_": [0, 1], "seed": [0, 1, 2]})
    for run_id, accuracy in zip(run_ids, ACCURACIES, strict=True):
        live_api.finish(run_id, accuracy__accuracy=accuracy)
    return live_api.client.run(run_ids[0]).experiment


def drawn(files: Files, page: str = "index.html") -> list[dict]:
    """Return the charts of a page."""
    found = re.findall(r'<script type="application/json">(.*?)</script>', files[page].decode())
    return [json.loads(content) for content in found]


def test_means_with_intervals_and_n_are_those_of_the_api(live_api, experiment):
    files = freeze_experiment(live_api.client, experiment)
    index = document(files)
    rows = index.table("group", "mean", "95 % low", "n")
    assert [float(row["mean"]) for row in rows] == pytest.approx(
        [fmean(ACCURACIES[:3]), fmean(ACCURACIES[3:])], abs=1e-4
    )
    assert all(float(row["95 % low"]) < float(row["mean"]) < float(row["95 % high"]) for row in rows)
    assert {row["n"] for row in rows} == {"3"}
    assert index.table("λ", "Test accuracy")[0]["Test accuracy"] == "★\u00a00.910\u00a0±\u00a00.025"
    assert "worse than the baseline: λ 1 (-0.103" in index.text
    assert fmean(ACCURACIES[:3]) == pytest.approx(
        float(
            files["results.csv"]
            .decode()
            .splitlines()[1]
            .split(",")[files["results.csv"].decode().split(",").index("mean")]
        )
    )


def test_set_up_date_version_and_number_are_stated(live_api, experiment):
    index = document(freeze_experiment(live_api.client, experiment))
    assert {"setting": "λ", "values": "0, 1"} in index.table("setting", "values")
    assert {"setting": "seed", "values": "0, 1, 2"} in index.table("setting", "values")
    assert index.table("setting", "value", "default")[0] == {"setting": "epochs", "value": "3", "default": "15"}
    assert re.search(rf"Experiment {experiment}, launched 20\d\d-\d\d-\d\d .*6 runs: ✓ succeeded 6", index.text)
    assert re.search(r"Frozen on 20\d\d-\d\d-\d\d \d\d:\d\d UTC with DensityLab \d+\.\d+\.\d+", index.text)


def test_every_run_has_a_page_with_spec_results_and_hash(live_api, experiment):
    files = freeze_experiment(live_api.client, experiment)
    for run in live_api.client.runs_of(experiment):
        page = document(files, f"runs/{run.id}.html")
        (row,) = page.table("result", "value", "n")
        value = run.results["accuracy.accuracy"]
        assert [float(row[name]) for name in ("value", "95 % low", "95 % high")] == pytest.approx(
            [value.value, value.low, value.high], rel=1e-5
        )
        assert row["n"] == "1000" and row["name in the API"] == "accuracy.accuracy"
        identity = {row["of this run"]: row["value"] for row in page.table("of this run", "value")}
        assert identity["spec hash"] == run.provenance["spec_hash"] and identity["data hash"] == "d" * 64
        assert json.dumps(run.known_spec, indent=1) in page.text
        assert {trace["name"] for chart in drawn(files, f"runs/{run.id}.html") for trace in chart["data"]} >= {"loss"}
        assert hashes(files)[run.id] == run.provenance["spec_hash"]


def test_all_addresses_lead_into_the_folder_and_nothing_can_be_edited(live_api, experiment):
    live_api.prepare()
    freeze_experiment(live_api.client, experiment)  # requests the maps
    live_api.draw()
    files = freeze_experiment(live_api.client, experiment)
    assert missing_targets(files) == []
    for page in (name for name in files if name.endswith(".html")):
        assert not {"form", "input", "textarea", "button", "iframe", "object"} & set(document(files, page).tags)
        assert "127.0.0.1" not in files[page].decode() and "http-equiv" in files[page].decode()
    assert len(drawn(files)) >= 2 and b"plotly.js v" in files["plotly.min.js"][:200]


def test_maps_are_png_files_with_caption_and_link(live_api, experiment):
    live_api.prepare()
    before = freeze_experiment(live_api.client, experiment)
    assert "The maps are queued" in document(before).text and not [name for name in before if name.startswith("maps/")]
    live_api.draw()
    files = freeze_experiment(live_api.client, experiment)
    pictures = {name for name in files if re.fullmatch(r"maps/(run-\d+-)?image-\d\.png", name)}
    assert len(pictures) == 4 * 3  # the image and the maps of one run of each group
    assert {Image.open(io.BytesIO(files[name])).size for name in pictures} == {(28, 56)}
    index = document(files)
    caption = "Gradient on test images 0, 1, 2, 3; target: the label. One colour scale for all maps, which ends at 1.5:"
    assert caption in index.text
    first = live_api.client.runs_of(experiment)[0].id
    assert index.loaded.count(f"runs/{first}.html") >= 4 + 1 and "leak 0.25 · 40%" in index.text
    page = document(files, f"runs/{first}.html")
    assert f"../maps/run-{first}-image-3.png" in page.loaded and "../maps/image-3.png" in page.loaded


def test_given_images_without_maps_are_refused(live_api, experiment):
    live_api.prepare(size=20)
    with pytest.raises(ApiError, match="The maps are queued"):
        freeze_experiment(live_api.client, experiment, [5, 7])
    live_api.draw()
    files = freeze_experiment(live_api.client, experiment, [5, 7])
    assert {"maps/image-5.png", "maps/image-7.png"} <= set(files) and "maps/image-0.png" not in files


def test_what_users_wrote_stays_text(live_api):
    body = {"name": TRICKY, "notes": TRICKY, "tags": ["a"], "spec": {"evaluations": []}}
    answer = httpx.post(f"{live_api.url}/api/v1/experiments", json=body).raise_for_status().json()
    (run,) = answer["runs"]
    live_api.finish(run, accuracy__accuracy=0.9)
    live_api.client.change_run(run, RunPatch(notes=TRICKY))
    files = freeze_experiment(live_api.client, answer["id"])
    for page in ("index.html", f"runs/{run}.html"):
        assert document(files, page).text.count(TRICKY) >= 2
        assert b"<b>bold" not in files[page] and b"</script><b" not in files[page]


def test_the_name_of_a_machine_is_left_out(live_api, experiment):
    from densitylab.backend.shared.store import runs

    run = live_api.client.runs_of(experiment)[0].id
    with live_api.database.write() as session:
        runs.set_started(session, run, device="cpu", data_hash="d" * 64, provenance={"host": "secret-host"})
    files = freeze_experiment(live_api.client, experiment)
    assert live_api.client.run(run).provenance["host"] == "secret-host"
    assert not [name for name, content in files.items() if b"secret-host" in content]


def test_an_experiment_without_results_is_refused_with_a_sentence(live_api):
    (run,) = live_api.launch({"evaluations": []})
    number = live_api.client.run(run).experiment
    with pytest.raises(ApiError, match=f"Experiment {number} has no results yet: freeze it once a run has been"):
        freeze_experiment(live_api.client, number)


def test_an_unfinished_experiment_says_so(live_api):
    done, _ = live_api.launch({"evaluations": []}, {"seed": [0, 1]})
    live_api.finish(done, accuracy__accuracy=0.9)
    files = freeze_experiment(live_api.client, live_api.client.run(done).experiment)
    assert "1 run had not finished when the page was frozen" in document(files).text


def test_a_run_that_is_deleted_meanwhile_is_named(live_api, experiment, monkeypatch):
    client = live_api.client
    fetch, last = client.evaluations, client.runs_of(experiment)[-1].id

    def fetch_after_deletion(run: int):
        if run == last:
            client.delete_run(last)
        return fetch(run)

    monkeypatch.setattr(client, "evaluations", fetch_after_deletion)
    with pytest.raises(ApiError, match=f"A run of experiment {experiment} was deleted while the page was made"):
        freeze_experiment(client, experiment)


def test_the_archive_unpacks_to_one_folder(live_api, experiment):
    files = freeze_experiment(live_api.client, experiment)
    with zipfile.ZipFile(io.BytesIO(archive(files, "experiment-7"))) as packed:
        assert {f"experiment-7/{name}" for name in files} == set(packed.namelist())
        assert packed.read("experiment-7/index.html") == files["index.html"]
