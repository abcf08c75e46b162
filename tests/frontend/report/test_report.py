"""The report against a real API: its figures are the API's, and it asks nobody for anything."""

import re
from html.parser import HTMLParser
from statistics import fmean

import pytest

from densitylab.backend.shared.contracts import RunPatch, RunsRequest, Value
from densitylab.frontend.analysis.comparison import compare
from densitylab.frontend.analysis.selection_rule import SelectionRule
from densitylab.frontend.report import experiment_report as report_module
from densitylab.frontend.report.experiment_report import collect, report, report_of_runs
from densitylab.frontend.report.figures import report_figures
from densitylab.frontend.report.html import render
from tests.frontend.constrained_runs import constrained_runs

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
    assert [row["Test accuracy"] for row in rows.values()] == ["0.900", "0.910", "0.920", "0.800", "0.810", "0.812"]
    assert all(row["data_hash"] == "d" * 12 for row in rows.values())
    intervals = {int(row["run"]): row for row in document.table("run", "result", "low")}
    for run in runs:
        value = run.results["accuracy.accuracy"]
        shown = [float(intervals[run.id][name]) for name in ("value", "low", "high", "n")]
        assert shown == [value.value, value.low, value.high, value.n]
    means = {float(row["lambda_"]): float(row["mean"]) for row in document.table("group", "mean", "lambda_")}
    assert means == {0: pytest.approx(fmean(ACCURACIES[:3])), 1: pytest.approx(fmean(ACCURACIES[3:]))}
    assert document.table("λ", "Test accuracy")[0]["Test accuracy"].startswith("★ 0.910 ± 0.025")
    figures = [item.figure for item in report_figures(collect(live_api.client, experiment))]
    dots = next(trace for figure in figures for trace in figure.data if trace.name == "single runs")
    assert dict(zip(dots.customdata, dots.y, strict=True)) == dict(
        zip([run.id for run in runs], ACCURACIES, strict=True)
    )
    losses = {trace.uid for figure in figures for trace in figure.data if tuple(trace.y[:2]) == (1.0, 0.5)}
    assert losses == {str(run.id) for run in runs}
    assert document.tags.count("svg") == len(figures) and document.tags.count("figure") == len(figures)


def test_the_report_loads_nothing_has_no_script_and_is_small(live_api, experiment, impatient):
    content = report(live_api.client, experiment)
    document = Document(content)
    assert [address for address in document.loaded if not address.startswith("data:")] == []
    assert not {"link", "iframe", "object", "script"} & set(document.tags) and "@import" not in content
    assert len(content.encode()) < 300_000


def test_it_opens_with_set_up_and_findings_in_at_most_ten_lines(live_api, experiment, impatient):
    document = Document(report(live_api.client, experiment))
    assert 5 <= document.tags[: document.tags.index("h2")].count("li") <= 10
    for line in (
        "Data and network: BlockMNIST (embedded); MLP.",
        "Compared: 2 groups of 6 runs, 3 seeds (0, 1, 2).",
        "Varied: λ: 0, 1.",
        "Training: 15 epochs, Adam, batches of 100.",
        "Test accuracy: worse than the baseline: λ 1 (-0.103",
    ):
        assert line in document.text


def test_many_results_leave_ten_lines_and_say_that_there_are_more(live_api, impatient):
    runs = live_api.launch({"evaluations": []}, {"lambda_": [0, 1], "seed": [0, 1]})
    names = [f"part_{number}" for number in range(9)]
    for index, run_id in enumerate(runs):
        values = {f"accuracy__{name}": 0.5 + index**2 * (number + 1) / 100 for number, name in enumerate(names)}
        live_api.finish(run_id, **values)
    client = live_api.client
    results = [f"accuracy.{name}" for name in names]
    document = Document(report_of_runs(client, [client.run(run_id) for run_id in runs], results=results))
    assert document.tags[: document.tags.index("h2")].count("li") == 10
    assert "More: the other results are in the table below." in document.text


def test_chosen_runs_of_several_experiments_are_reported_with_the_chosen_results_and_baseline(
    live_api, experiment, impatient
):
    (other,) = live_api.launch({"evaluations": [], "lambda_": 10})
    live_api.finish(other, accuracy__accuracy=0.5, accuracy__cross_entropy=0.25)
    client = live_api.client
    client.change_run(other, RunPatch(name="far too strong"))
    runs = [*client.runs_of(experiment)[:3], client.run(other)]
    content = report_of_runs(client, runs, baseline=other, results=["accuracy.cross_entropy"])
    document = Document(content)
    assert [int(row["run"]) for row in document.table("run", "status", "data_hash")] == [
        other,
        *(run.id for run in runs[:3]),
    ]
    assert f"Experiments {experiment}, {runs[-1].experiment} of" in document.text
    assert "far too strong" in document.text and "Launch the same runs of experiment" in document.text
    head = next(table[0] for table in document.tables if "seeds done" in table[0])
    assert "Test accuracy" not in head and any("cross-entropy" in name for name in head)


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


def test_the_report_has_the_rule_of_the_selected_lambda(live_api, impatient):
    """The first headline result alone would select λ = 10; the page asks for another one."""
    run_ids = constrained_runs(live_api)
    runs = live_api.client.runs_of(live_api.client.run(run_ids[0]).experiment)
    comparison = compare(runs, live_api.client.catalog())
    pgd, share = (
        next(column for column in comparison.columns if column.result == name)
        for name in ("pgd_linf.accuracy", "leakage.share")
    )

    def selected(rule: SelectionRule | None) -> tuple[str, str]:
        document = Document(report_of_runs(live_api.client, runs, rule=rule))
        return document.table("method", "λ within budget")[0]["λ"], document.text

    assert selected(None)[0] == "10"
    chosen, text = selected(SelectionRule(pgd, 0.03, share, 0.05))
    assert chosen == "1" and "best at ≤ 3 points accuracy loss, with Leakage, share at most 5 points worse" in text
    assert selected(SelectionRule(share, 0.03))[0] == "1"


def test_maps_of_more_groups_than_fit_say_so(live_api, impatient):
    run_ids = live_api.launch({"evaluations": []}, {"lambda_": [0, 1, 2, 3, 4, 5, 6, 7], "seed": [0]})
    for run_id in run_ids:
        live_api.finish(run_id, accuracy__accuracy=0.9)
    live_api.prepare()
    number = live_api.client.run(run_ids[0]).experiment
    assert "The maps are queued" in Document(report(live_api.client, number)).text
    live_api.draw()
    maps = collect(live_api.client, number).maps
    assert maps.left_out == "Groups not shown: 2 beyond the 6 that fit."
    assert {run_ids[0], run_ids[-1]} <= set(maps.request.runs)
    assert maps.left_out in Document(report(live_api.client, number)).text


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
    evidence = collect(live_api.client, live_api.client.run(run).experiment)
    figures = [item.figure for item in report_figures(evidence)]
    (violin,) = [trace for figure in figures for trace in figure.data if trace.type == "violin"]
    assert list(violin.y) == [0.4, 0.6]
    assert "Largest sensitivity" in Document(render(evidence)).text


def test_an_imported_model_has_no_settings_of_a_training_that_never_was(live_api, impatient):
    run = live_api.import_model("stranger.pt", accuracy__accuracy=0.9173)
    content = report(live_api.client, live_api.client.run(run).experiment)
    document = Document(content)
    (row,) = document.table("run", "group", "status")
    assert row["group"] == "stranger.pt" and row["Test accuracy"] == "0.917"
    assert not re.search(r"epochs|lambda_|marginal_density|Marginal-density|λ = 0|seed \d", document.text)
    assert "Launch the same runs again" not in document.text
