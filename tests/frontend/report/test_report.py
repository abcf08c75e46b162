"""The report against a real API: its figures are the API's, and it asks nobody for anything."""

import json
import re
from html.parser import HTMLParser
from statistics import fmean

import pytest

from densitylab.backend.shared.contracts import RunsRequest, Value
from densitylab.frontend.report import experiment_report as report_module
from densitylab.frontend.report.experiment_report import report

ACCURACIES = (0.90, 0.91, 0.92, 0.80, 0.81, 0.8123456789)
TRICKY = "</script><b>bold & loud</b>"

pytestmark = pytest.mark.timeout(120)


class Document(HTMLParser):
    """Tables as rows of texts, the addresses that would be loaded, and all text outside scripts."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._inside = tag
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        self.loaded += [value for name, value in attrs if name in ("src", "href", "srcset") and value]

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside in ("td", "th"):
            self.tables[-1][-1][-1] += data
        if self._inside not in ("script", "style"):
            self.text += data

    def table(self, *columns: str) -> list[dict[str, str]]:
        """The first table that has these columns, as rows by column."""
        head, *rows = next(table for table in self.tables if set(columns) <= set(table[0]))
        return [dict(zip(head, row, strict=True)) for row in rows]


def drawn(content: str) -> list[dict]:
    """The traces of every chart in the file."""
    traces = []
    for found in re.finditer(r'Plotly\.newPlot\(\s*"[^"]+",\s*', content):
        traces += json.JSONDecoder().raw_decode(content, found.end())[0]
    return traces


@pytest.fixture
def experiment(live_api) -> int:
    run_ids = live_api.launch({"evaluations": []}, {"lambda_": [0, 1], "seed": [0, 1, 2]})
    for run_id, accuracy in zip(run_ids, ACCURACIES, strict=True):
        live_api.finish(run_id, accuracy__accuracy=accuracy)
    return live_api.client.run(run_ids[0]).experiment


@pytest.fixture
def impatient(monkeypatch) -> None:
    """No worker draws maps in these tests."""
    monkeypatch.setattr(report_module, "MAP_PATIENCE", 0.0)


def test_the_figures_of_the_report_are_those_of_the_api(live_api, experiment, impatient):
    content = report(live_api.client, experiment)
    document, runs = Document(content), live_api.client.runs_of(experiment)
    rows = {int(row["run"]): row for row in document.table("run", "status", "data_hash")}
    assert {number: float(row["accuracy.accuracy"]) for number, row in rows.items()} == {
        run.id: run.results["accuracy.accuracy"].value for run in runs
    }
    assert all(row["data_hash"] == "d" * 64 for row in rows.values())
    intervals = {int(row["run"]): row for row in document.table("run", "result", "low")}
    for run in runs:
        value = run.results["accuracy.accuracy"]
        assert (float(intervals[run.id]["low"]), float(intervals[run.id]["high"]), int(intervals[run.id]["n"])) == (
            value.low,
            value.high,
            value.n,
        )
    means = {float(row["lambda_"]): float(row["mean"]) for row in document.table("group", "mean", "lambda_")}
    assert means == {0: pytest.approx(fmean(ACCURACIES[:3])), 1: pytest.approx(fmean(ACCURACIES[3:]))}
    assert document.table("λ", "Test accuracy")[0]["Test accuracy"].startswith("★ 0.910 ± 0.025")
    dots = next(trace for trace in drawn(content) if trace.get("name") == "single runs")
    assert dict(zip(dots["customdata"], dots["y"], strict=True)) == dict(
        zip([run.id for run in runs], ACCURACIES, strict=True)
    )
    losses = {trace["uid"]: trace["y"] for trace in drawn(content) if trace.get("y", [])[:2] == [1.0, 0.5]}
    assert set(losses) == {str(run.id) for run in runs}


def test_the_report_loads_nothing_and_holds_plotly_once(live_api, experiment, impatient):
    content = report(live_api.client, experiment)
    document = Document(content)
    assert [address for address in document.loaded if not address.startswith("data:")] == []
    assert not {"link", "iframe", "object"} & set(document.tags) and "@import" not in content
    assert content.count("plotly.js v") == 1 and len(drawn(content)) > 3


def test_names_and_notes_are_text(live_api, impatient):
    import httpx

    body = {"name": TRICKY, "notes": TRICKY, "tags": ["a"], "spec": {}}
    number = httpx.post(f"{live_api.url}/api/v1/experiments", json=body).raise_for_status().json()["id"]
    document = Document(report(live_api.client, number))
    assert document.text.count(TRICKY) >= 3  # heading, notes, and the request that made it
    assert "b" not in document.tags
    assert "there are no maps" in document.text  # nor is there a result


def test_runs_added_later_have_their_request_too(live_api, impatient):
    (run,) = live_api.launch({"evaluations": []})
    number = live_api.client.run(run).experiment
    live_api.client.add_runs(number, RunsRequest(seeds=[5]))
    document = Document(report(live_api.client, number))
    assert f"/api/v1/experiments/{number}/runs -H" in document.text and '{"seeds": [5]' in document.text


def test_the_maps_are_pictures_in_the_file(live_api, experiment, impatient):
    live_api.prepare()
    assert "The maps are queued" in Document(report(live_api.client, experiment)).text
    live_api.draw()
    document = Document(report(live_api.client, experiment))
    # A scale; and of four images the picture and the maps of two runs
    assert len([address for address in document.loaded if address.startswith("data:image/png")]) == 1 + 4 * 3
    assert "±1.5" in document.text and "/api/v1/attributions" in document.text


def test_failures_are_flags(live_api, impatient):
    good, bad = live_api.launch({"evaluations": []}, {"seed": [0, 1]})
    live_api.finish(good, accuracy__accuracy=0.9)
    live_api.fail(bad, "RuntimeError: the disk is full")
    document = Document(report(live_api.client, live_api.client.run(good).experiment))
    assert f"The run failed: RuntimeError: the disk is full run {bad}" in document.text
    assert "1 of 2" in [row["seeds done"] for row in document.table("seeds done")]


def test_values_of_single_images_have_violins_in_the_report(live_api, impatient):
    (run,) = live_api.launch({"epochs": 2, "evaluations": [{"key": "sensitivity"}]})
    live_api.finish(run, sensitivity__sensitivity_max=0.5)
    live_api.measured(run, "sensitivity", values={"sensitivity_max": Value(value=0.5)}, sensitivity_max=[0.4, 0.6])
    content = report(live_api.client, live_api.client.run(run).experiment)
    (violin,) = [trace for trace in drawn(content) if trace["type"] == "violin"]
    assert violin["y"] == [0.4, 0.6]


def test_an_imported_model_has_no_settings_of_a_training_that_never_was(live_api, impatient):
    run = live_api.import_model("stranger.pt", accuracy__accuracy=0.9173)
    content = report(live_api.client, live_api.client.run(run).experiment)
    document = Document(content)
    (row,) = document.table("run", "group", "status")
    assert row["group"] == "stranger.pt" and row["accuracy.accuracy"] == "0.9173"
    assert not re.search(r"epochs|lambda_|marginal_density|Marginal-density|λ = 0|seed \d", document.text)
    assert "Launch the same runs again" not in document.text
