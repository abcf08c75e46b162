"""The figures of a study's report as SVG."""

from densitylab.backend.shared.contracts.studies import StudyReport
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.paper.figures import render
from densitylab.frontend.paper.study import study_paper


def study_pictures(report: StudyReport, catalog: Catalog) -> list[str]:
    """Return the figures in their order, each an SVG document."""
    paper = study_paper(report, [], catalog)
    return [render(paper, figure, "svg").decode() for figure in paper.figures]
