"""The report of a real study as Markdown and as HTML."""

import re

import pytest

from densitylab.backend.shared.contracts.studies import StudyReport
from densitylab.frontend.analysis.formatting import ranges
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.report.study_html import study_html
from densitylab.frontend.report.study_markdown import study_markdown
from tests.frontend.report.test_report import Document

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def report(live_api, leakage_study) -> StudyReport:
    return live_api.client.study_report(leakage_study.id)


@pytest.fixture(scope="module")
def catalog(live_api) -> Catalog:
    return live_api.client.catalog()


def rows(markdown: str, heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its rule."""
    below = markdown.partition(f"## {heading}\n\n")[2].partition("\n\n")[0]
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in below.splitlines()]
    return [lines[0], *lines[2:]]


def test_markdown_answers_the_question_with_claims_and_tables(report, catalog, live_api):
    text = study_markdown(report, catalog, ["leakage-1.svg"])
    assert text.startswith(f"# Feature leakage\n\n{report.study.question}\n\nSize: minutes · version 3 · 20")
    claims = rows(text, "Claims")
    assert claims[0] == ["claim", "about", "answer", "reason", "result", "budget", "first", "second"]
    assert claims[1][4:6] == ["leakage.share", "2 points"]
    assert claims[1][6:] == [ranges(report.claims[0].first), ranges(report.claims[0].second)]
    assert [row[2] for row in claims[1:]] == [
        {"yes": "✓ yes", "no": "✕ no", "undecided": "? undecided"}[claim.verdict] for claim in report.claims
    ]
    selected = rows(text, "Leakage at the selected λ: MLP, ReLU")
    first = report.tables[0]
    assert [row[0] for row in selected[1:]] == [
        "None (baseline)",
        "Input-gradient regularization",
        "Marginal-density smoothing",
    ]
    assert [row[1] for row in selected[1:]] == ["0", "1 †", "1 †"]
    assert [row[-1] for row in selected[1:]] == [ranges(row.runs) for row in first.rows]
    behind = rows(text, "Runs")
    assert behind[0] == ["about", "method", "λ", "spec hashes", "runs"] and len(behind) == 16
    assert behind[1][3].split() == [run.provenance["spec_hash"] for run in map(live_api.client.run, first.rows[0].runs)]
    assert ["Leakage, share", "leakage.share"] in rows(text, "Results")
    assert "![Leakage against accuracy](leakage-1.svg)" in text
    assert "| λ | the best on validation images within the budget of accuracy | not stated |" in text


def test_every_line_of_a_table_has_as_many_cells_as_its_heading(report, catalog):
    text = study_markdown(report, catalog)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count(" | ") for line in table.splitlines()}) == 1, table


def test_markdown_names_neither_a_machine_nor_an_address(report, catalog, live_api):
    text = study_markdown(report, catalog)
    hosts = {run.provenance.get("host") for run in live_api.client.runs(limit=5).items} - {None}
    assert "http" not in text and "127.0.0.1" not in text
    assert not [host for host in hosts if re.search(rf"\b{re.escape(str(host))}\b", text)]


def test_signs_of_markup_stay_text(report, catalog):
    study = report.study.model_copy(update={"label": "A | B", "question": "Is *a* < b?\n# No heading"})
    text = study_markdown(report.model_copy(update={"study": study}), catalog)
    assert text.startswith("# A \\| B\n\nIs \\*a\\* &lt; b? # No heading\n")


def test_html_has_the_numbers_and_loads_nothing(report, catalog):
    content = study_html(report, catalog)
    document = Document(content)
    assert document.loaded == [] or all(link.startswith("#") for link in document.loaded)
    assert "script" not in document.tags and content.count("<svg") == len(report.figures) == 1
    assert len(content) < 1_000_000
    rows_of_claims = document.table("claim", "answer")
    assert [row["answer"].split()[-1] for row in rows_of_claims] == [claim.verdict for claim in report.claims]
    single = document.table("run", "method", "seed")
    cell = report.tables[0].rows[0].cells[0]
    assert float(single[0]["Test accuracy ↑"]) == pytest.approx(cell.per_seed[0], rel=1e-5)


def test_html_links_each_run_to_the_page(report, catalog):
    document = Document(study_html(report, catalog, page="https://lab.example/dl/"))
    runs = {run for table in report.tables for row in table.rows for run in row.runs}
    assert {f"https://lab.example/dl/run?run={run}" for run in runs} <= set(document.loaded)


def test_html_escapes_what_users_wrote(report, catalog):
    study = report.study.model_copy(update={"datasets": {"cifar10": "<script>alert(1)</script>"}})
    assert "<script>" not in study_html(report.model_copy(update={"study": study}), catalog)


def test_a_study_without_results_has_a_report(live_api, catalog):
    study = live_api.client.launch_study("ood", "hours")
    report = live_api.client.study_report(study.id)
    for text in (study_markdown(report, catalog), study_html(report, catalog)):
        assert "is not prepared: prepare it on the page Data" in text and "no run has been trained" in text
