"""An experiment as a frozen page."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from densitylab.frontend.analysis.comparison import all_runs, headline_columns
from densitylab.frontend.analysis.controls import controls_text
from densitylab.frontend.analysis.csv_table import to_csv
from densitylab.frontend.analysis.formatting import counted, status_text
from densitylab.frontend.analysis.summary import correction_text, star_text, summary_sentences
from densitylab.frontend.analysis.tables import SEEDS, numbers, summary
from densitylab.frontend.assets import template
from densitylab.frontend.client import ApiClient, ApiError
from densitylab.frontend.frozen.charts import chart
from densitylab.frontend.frozen.folder import Files, shared_files
from densitylab.frontend.frozen.maps import map_section
from densitylab.frontend.frozen.run_pages import run_pages
from densitylab.frontend.frozen.settings import set_up
from densitylab.frontend.frozen.stamp import stamp
from densitylab.frontend.report.evidence import Evidence
from densitylab.frontend.report.experiment_report import MAP_IMAGES, collect
from densitylab.frontend.report.figures import report_figures
from densitylab.frontend.report.selected_lambda import selected_lambda
from densitylab.frontend.report.tables import Table, as_text, side_by_side
from densitylab.frontend.report.warning_sources import warning_sources


def freeze_experiment(client: ApiClient, experiment: int, images: Sequence[int] | None = None) -> Files:
    """Return the files of the page; saliency maps are computed if they do not exist yet.

    Args:
        client: of the API.
        experiment: its number.
        images: indices of the test images whose maps are shown; None: the first ones, and no maps where there are none.

    Raises:
        ApiError: there is no such experiment, it has no results yet, a run was deleted meanwhile, or there are no maps
            of the given images.
    """
    client.experiment(experiment)  # raises where there is none
    if not any(run.results for run in client.runs_of(experiment)):
        raise ApiError(409, f"Experiment {experiment} has no results yet: freeze it once a run has been evaluated.")
    try:
        evidence = collect(client, experiment, MAP_IMAGES if images is None else images)
    except ApiError as error:
        if error.status != 404:
            raise
        message = f"A run of experiment {experiment} was deleted while the page was made. Make it again."
        raise ApiError(404, message) from error
    if images is not None and evidence.maps.missing:
        raise ApiError(409, evidence.maps.missing)
    return freeze(evidence)


def freeze(evidence: Evidence) -> Files:
    """Return the files of the page."""
    comparison, catalog, experiment = evidence.comparison, evidence.catalog, evidence.experiment
    columns = headline_columns(comparison, catalog)
    section, pictures = map_section(evidence.maps, "", "maps")
    unfinished = sum(not run.status.final for run in evidence.runs)
    results = as_text(summary(comparison, columns, catalog))
    every = numbers(comparison, comparison.columns, catalog, tested=columns)
    selected = selected_lambda(evidence)
    when = stamp()
    index = template("frozen/experiment.html.jinja").render(
        root="",
        title=experiment.name,
        stamp=when,
        experiment=experiment,
        runs=counted(len(evidence.runs), "run"),
        states=", ".join(f"{status_text(status)} {count}" for status, count in experiment.counts.items() if count),
        unfinished=counted(unfinished, "run") if unfinished else "",
        findings=summary_sentences(comparison, columns, catalog),
        warnings=warning_sources(evidence),
        set_up=set_up(evidence.runs, catalog),
        summary=side_by_side(results, results.columns.index(SEEDS) + 1),
        controls=controls_text(comparison, columns, catalog),
        means=_means(every),
        star=star_text(comparison, columns),
        tests=correction_text(comparison, columns),
        selected=selected,
        best=side_by_side(selected.table, 2) if selected else [],
        charts=[chart(item.figure, item.marks, [run.id for run in evidence.runs]) for item in report_figures(evidence)],
        sections=[section],
        run_rows=[
            (run.id, comparison.label_of(run), status_text(run.status), run.provenance.get("spec_hash") or "—")
            for run in all_runs(comparison)
        ],
    )
    pages = run_pages(
        evidence.runs,
        catalog,
        series=evidence.series,
        sections=[section],
        whole=experiment.name,
        stamp=when,
    )
    return {
        "index.html": index.encode(),
        "results.csv": to_csv(pd.DataFrame(every, dtype=object)).encode(),
        **shared_files(),
        **pictures,
        **pages,
    }


def _means(every: Sequence[Mapping[str, Any]]) -> Table:
    """Return a row per group and result: the mean with its interval and n, and the difference from the baseline."""
    columns = ["group", "result", "mean", "95 % low", "95 % high", "n", "Δ", "Δ low", "Δ high", "p (Holm)"]
    names = ["mean", "low", "high", "n", "difference_mean", "difference_low", "difference_high"]
    rows = [
        [
            row["group"],
            row["label"] + {True: " ↑", False: " ↓", None: ""}[row["higher_is_better"]],
            *("—" if row[name] is None else f"{row[name]:z.4g}" for name in names),
            "—" if row["difference_p_adjusted"] is None else f"{row['difference_p_adjusted']:.2g}",
        ]
        for row in every
        if row["mean"] is not None
    ]
    return Table(columns, rows)
