"""The menus of files for a paper, on Compare and on a study's page."""

import pytest
from streamlit.testing.v1 import AppTest

from densitylab.frontend.analysis.comparison import compare, headline_columns
from densitylab.frontend.paper.comparison import comparison_paper
from densitylab.frontend.paper.latex import tables_latex
from densitylab.frontend.paper.study import collect_study
from tests.frontend.page_text import page_text

pytestmark = pytest.mark.timeout(120)
FILES = ["Tables (LaTeX)", "Figures (PDF)", "Figures (SVG)", "Sources (BibTeX)", "Everything (zip)"]


def labels(app: AppTest) -> list[str]:
    return [item.label for item in app.get("download_button")]


def test_compare_offers_files_once_there_are_results(page, live_api):
    run_ids = live_api.launch({"evaluations": []}, {"lambda_": [0, 0.1], "seed": [0, 1]})
    experiment = live_api.client.run(run_ids[0]).experiment
    app = page.open("compare", experiment=str(experiment))
    page_text(app)
    assert "Tables (LaTeX)" not in labels(app)
    for run_id in run_ids:
        live_api.finish(run_id, accuracy__accuracy=0.9)
    app = page.open("compare", experiment=str(experiment))
    page_text(app)
    assert [label for label in labels(app) if label in FILES] == FILES


def test_the_tables_of_a_comparison_have_the_means_of_the_api(live_api):
    run_ids = live_api.launch({"evaluations": []}, {"lambda_": [0, 0.1], "seed": [0, 1, 2]})
    for run_id, accuracy in zip(run_ids, (0.90, 0.91, 0.92, 0.80, 0.81, 0.82), strict=True):
        live_api.finish(run_id, accuracy__accuracy=accuracy)
    catalog = live_api.client.catalog()
    comparison = compare([live_api.client.run(run_id) for run_id in run_ids], catalog)
    paper = comparison_paper(comparison, headline_columns(comparison, catalog), catalog, title="An experiment")
    latex = tables_latex(paper).replace(r"\textbf{0.910}", "0.910")
    # t(2) · s / √3 with s = 0.01
    assert r"0 & 3 & 0.910\,$\pm$\,0.025" in latex
    assert r"0.1 & 3 & 0.810\,$\pm$\,0.025" in latex


def test_a_study_page_offers_files(page, live_api):
    study = live_api.client.launch_study("leakage")
    app = page.open("studies", study=str(study.id))
    page_text(app)
    assert [label for label in labels(app) if label in FILES] == FILES
    paper = collect_study(live_api.client, live_api.client.study_report(study.id))
    assert len(paper.runs) == 45 and paper.tables == []
