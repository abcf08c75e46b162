"""A report as one HTML file without scripts that loads nothing: tables, charts as SVG, and maps."""

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from markupsafe import Markup

from densitylab.backend.shared.contracts import Origin
from densitylab.frontend.analysis.controls import controls_text
from densitylab.frontend.analysis.formatting import counted, status_text
from densitylab.frontend.analysis.summary import correction_text, star_text
from densitylab.frontend.analysis.tables import SEEDS, numbers, summary
from densitylab.frontend.assets import read_asset, template
from densitylab.frontend.maps.saliency_panels import saliency_html, scale_html
from densitylab.frontend.maps.view import MapView
from densitylab.frontend.report.evidence import Evidence
from densitylab.frontend.report.figures import report_figures
from densitylab.frontend.report.opening import opening
from densitylab.frontend.report.selected_lambda import selected_lambda
from densitylab.frontend.report.tables import as_text, interval_table, run_table, side_by_side, spec_tables
from densitylab.frontend.report.warning_sources import warning_sources

MAP_ZOOM, MAP_WIDTH = 3, 150  # screen pixels: at most of an image pixel, and about of an image


@dataclass(frozen=True)
class _Requests:
    title: str
    commands: list[str]


@dataclass(frozen=True)
class _Chart:
    title: str
    svg: Markup
    marks: str


def render(evidence: Evidence) -> str:
    """Return the whole document."""
    comparison, catalog, columns = evidence.comparison, evidence.catalog, evidence.columns
    view = evidence.maps.view
    differing, shared = spec_tables(evidence)
    means = as_text(summary(comparison, columns, catalog))
    selected = selected_lambda(evidence)
    warnings = warning_sources(evidence)
    setup, findings = opening(evidence, len(warnings))
    states = Counter(status_text(run.status) for run in evidence.runs)
    return template("report/report.html.jinja").render(
        style=Markup(read_asset("report/report.css")),
        title=", ".join(item.name for item in evidence.experiments),
        origin=_origin(evidence),
        experiments=evidence.experiments,
        runs=counted(len(evidence.runs), "run"),
        states=", ".join(f"{status} {count}" for status, count in states.items()),
        now=datetime.now(UTC),
        setup=setup,
        findings=findings,
        warnings=warnings,
        summary=side_by_side(means, means.columns.index(SEEDS) + 1),
        controls=controls_text(comparison, columns, catalog),
        numbers=as_text(pd.DataFrame(numbers(comparison, comparison.columns, catalog, tested=columns), dtype=object)),
        star=star_text(comparison, columns),
        tests=correction_text(comparison, columns),
        selected=selected,
        best=side_by_side(selected.table, 2) if selected else [],
        charts=_charts(evidence),
        maps=evidence.maps,
        scale=Markup(scale_html(view)) if view else None,
        panels=Markup(saliency_html(view, _zoom(view))) if view else None,
        run_tables=side_by_side(run_table(evidence), 2),
        intervals=interval_table(evidence),
        provenance=_provenance(evidence),
        differing=side_by_side(differing) if len(differing.columns) > 1 else [],
        shared=shared,
        requests=_requests(evidence),
    )


def _origin(evidence: Evidence) -> str:
    """Return the experiments of the runs, with the time of the first launch."""
    first = min(item.created_at for item in evidence.experiments)
    label = "Experiment" if len(evidence.experiments) == 1 else "Experiments"
    return f"{label} {', '.join(str(item.id) for item in evidence.experiments)} of {first:%Y-%m-%d %H:%M} UTC"


def _charts(evidence: Evidence) -> list[_Chart]:
    from densitylab.frontend.report.static_chart import to_svg  # imports matplotlib, which takes half a second

    return [
        _Chart(item.figure.layout.title.text or "", Markup(to_svg(item.figure, f"chart{index}")), item.marks)
        for index, item in enumerate(report_figures(evidence))
    ]


def _zoom(view: MapView) -> int:
    """Return the screen pixels per image pixel."""
    return max(1, min(MAP_ZOOM, MAP_WIDTH // view.maps.images.shape[-1]))


def _provenance(evidence: Evidence) -> list[str]:
    """Return the provenance of the runs, once for each set of code, packages and host."""
    distinct = {
        json.dumps([run.provenance.get(name) for name in ("version", "commit", "packages", "host")]): run.provenance
        for run in evidence.runs
        if run.provenance
    }
    return [_json({name: value for name, value in item.items() if name != "spec_hash"}) for item in distinct.values()]


def _requests(evidence: Evidence) -> list[_Requests]:
    """Return the curl commands that launch the experiments again and read the results."""
    base = f"{evidence.url.rstrip('/')}/api/v1"
    requests = []
    for experiment in evidence.experiments:
        of = "" if len(evidence.experiments) == 1 else f" of experiment {experiment.id}"
        if any(run.origin is Origin.TRAINED and run.experiment == experiment.id for run in evidence.runs):
            posted = [_post(f"{base}/experiments", experiment.request)]
            requests.append(_Requests(f"Launch the same runs{of} again:", posted))
        if experiment.additions:
            added = [_post(f"{base}/experiments/{experiment.id}/runs", addition) for addition in experiment.additions]
            requests.append(_Requests(f"Runs{of} that were added later, in this order:", added))
    if evidence.maps.request:
        body = evidence.maps.request.model_dump(mode="json")
        requests.append(_Requests("Saliency maps:", [_post(f"{base}/attributions", body)]))
    urls = [
        *(f"{base}/experiments/{experiment.id}" for experiment in evidence.experiments),
        f"{base}/runs?{'&'.join(f'ids={run.id}' for run in evidence.runs)}&limit=200",
        f"{base}/runs/{evidence.runs[0].id}/evaluations",
        f"{base}/runs/{evidence.runs[0].id}/metrics",
    ]
    requests.append(_Requests("Results:", ["\n".join(f"curl '{url}'" for url in urls)]))
    return requests


def _post(url: str, body: Any) -> str:
    quoted = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    return f"curl -X POST {url} -H 'Content-Type: application/json' -d '{quoted}' "


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False)
