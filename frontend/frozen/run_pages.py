"""The page of each run: identity, settings, results, curves and maps."""

import json
from collections.abc import Sequence
from typing import Any

from densitylab.backend.shared.contracts import MetricSeries, Run
from densitylab.frontend.analysis.formatting import labels_of, run_name, status_text
from densitylab.frontend.analysis.run_settings import run_settings
from densitylab.frontend.assets import template
from densitylab.frontend.charts.figures import curves, panels_of
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.client.durations import duration
from densitylab.frontend.frozen.charts import chart
from densitylab.frontend.frozen.folder import Files
from densitylab.frontend.frozen.maps import MapSection
from densitylab.frontend.frozen.settings import settings_table
from densitylab.frontend.report.tables import Table

_PRIVATE = ("host",)  # of the provenance: names of machines


def run_pages(
    runs: Sequence[Run],
    catalog: Catalog,
    *,
    series: Sequence[MetricSeries],
    sections: Sequence[MapSection],
    whole: str,
    stamp: str,
) -> Files:
    """Return the files of the pages.

    Args:
        runs: those of the folder.
        catalog: the API's.
        series: training curves of all runs.
        sections: all saliency maps.
        whole: the title of the first page.
        stamp: date and version.
    """
    page = template("frozen/run.html.jinja")
    return {
        f"runs/{run.id}.html": page.render(
            root="../",
            title=run_name(run, catalog),
            whole=whole,
            stamp=stamp,
            run=run,
            status=status_text(run.status),
            error=run.error.splitlines()[-1] if run.error else "",
            identity=_identity(run),
            results=results_table(run, catalog),
            settings=settings_table([item for item in run_settings(run, catalog) if item.differs]),
            charts=[
                chart(curves(panel, own), "", [])
                for own in [[item for item in series if item.run == run.id and item.points]]
                for panel in panels_of(item.name for item in own)
            ],
            sections=[item for item in (section.of_run(run.id) for section in sections) if item.rows],
            spec=_json(run.known_spec),
            provenance=_json(_public(run.provenance)),
        ).encode()
        for run in runs
    }


def results_table(run: Run, catalog: Catalog) -> Table:
    """Return a row per result with its interval and n."""
    labels = labels_of(run, catalog)
    rows = [
        [labels[name], _number(value.value), _number(value.low), _number(value.high), str(value.n or "—"), name]
        for name, value in run.results.items()
    ]
    return Table(["result", "value", "95 % low", "95 % high", "n", "name in the API"], rows)


def _identity(run: Run) -> Table:
    seconds = (run.finished_at - run.started_at).total_seconds() if run.finished_at and run.started_at else None
    facts = {
        "spec hash": run.provenance.get("spec_hash"),
        "data hash": run.provenance.get("data_hash"),
        "code version": run.provenance.get("version"),
        "commit": run.provenance.get("commit"),
        "trained on": run.device,
        "launched": f"{run.created_at:%Y-%m-%d %H:%M} UTC",
        "time of training": duration(seconds) if seconds is not None else None,
        "optimizer steps": run.checkpoint_step,
    }
    return Table(["of this run", "value"], [[name, str(value)] for name, value in facts.items() if value is not None])


def _public(provenance: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in provenance.items() if name not in _PRIVATE}


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.6g}"


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False)
