"""The HTML of a report: words, tables, charts and maps in one file, plotly.js in it once."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from backend.shared.contracts import AttributionRequest, Evaluation, Experiment, MetricSeries, Run
from frontend.aggregate import flat, higher_is_better
from frontend.catalog import Catalog
from frontend.charts import BELOW, metric_label, overlay
from frontend.comparison import HEADLINES, Comparison, column_label, compare, measured_differently
from frontend.measured_curves import measured_charts
from frontend.measured_spreads import draw_spreads, measured_spreads, spreads
from frontend.panels import View, scale_html
from frontend.panels import html as panels_html
from frontend.per_image import Arrays
from frontend.response import lines, parallel, response
from frontend.result_charts import draw
from frontend.selection import matched, selection_words
from frontend.tables import all_runs, matches, numbers, summary
from frontend.tradeoff import tradeoff
from frontend.words import duration, status_text

MATCHED_LOSS = 0.02
_PAIRS = (("pgd_linf.accuracy", "accuracy.accuracy"), ("leakage.share", "accuracy.accuracy"))
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 1120px; margin: 2rem auto;
  padding: 0 1rem; }
h1 { margin-bottom: .2rem; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #ddd; }
.quiet { color: #555; } .warn { background: #fff4d6; border-left: 4px solid #c98a00; padding: .3rem .8rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .87rem; }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .6rem; text-align: left; white-space: nowrap; }
pre { background: #f5f5f5; padding: .7rem; overflow-x: auto; font-size: .82rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 1rem; }
.pair > div { min-width: 0; }
@media print { details { display: block; } }
"""


@dataclass(frozen=True)
class Maps:
    """The saliency maps of a report, or why it has none."""

    request: AttributionRequest | None
    view: View | None
    missing: str = ""


@dataclass(frozen=True)
class Evidence:
    """Everything that a report shows, as the API gave it."""

    experiment: Experiment
    runs: list[Run]
    evaluations: dict[int, list[Evaluation]]  # by run
    arrays: dict[tuple[int, str], Arrays]  # by run and evaluation: values of single test images
    series: list[MetricSeries]
    maps: Maps
    catalog: Catalog
    url: str  # of the API

    @property
    def comparison(self) -> Comparison:
        return compare(self.runs, self.catalog)


def render(evidence: Evidence) -> str:
    """The whole document."""
    name = escape(evidence.experiment.name)
    sections = [_head(evidence), _flags(evidence), _results(evidence), _charts(evidence), _maps(evidence),
                _runs(evidence), _specs(evidence), _requests(evidence)]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}: DensityLab</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style><script>{get_plotlyjs()}</script></head><body>{''.join(sections)}</body></html>\n"
    )


def _head(evidence: Evidence) -> str:
    experiment, runs = evidence.experiment, evidence.runs
    states = ", ".join(f"{status_text(status)} {count}" for status, count in experiment.counts.items() if count)
    parts = [f"<h1>{escape(experiment.name)}</h1>",
             f'<p class="quiet">Experiment {experiment.id} of {experiment.created_at:%Y-%m-%d %H:%M} UTC; {len(runs)} '
             f"runs: {states}. Report of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.</p>"]
    if experiment.tags:
        parts.append(f"<p>Tags: {escape(', '.join(experiment.tags))}</p>")
    if experiment.notes:
        parts.append(f'<p style="white-space: pre-wrap">{escape(experiment.notes)}</p>')
    return "".join(parts)


def _flags(evidence: Evidence) -> str:
    """Every warning, with the runs and measures that carry it."""
    carriers: dict[str, list[str]] = {}
    for run in evidence.runs:
        for flag in run.flags:
            carriers.setdefault(flag.text, []).append(f"run {run.id}")
        for item in evidence.evaluations[run.id]:
            for flag in item.flags:
                carriers.setdefault(flag.text, []).append(f"{item.name} of run {run.id}")
            if item.status.final and item.error:
                carriers.setdefault(f"Not measured: {item.error}", []).append(f"{item.name} of run {run.id}")
        if run.error:
            carriers.setdefault(f"The run {run.status.value}: {run.error}", []).append(f"run {run.id}")
    for result in measured_differently(evidence.comparison):
        carriers[f"{result} was measured with different parameters or on different data; each has its own column."] = []
    if not carriers:
        return "<h2>Flags</h2><p>None.</p>"
    lines_ = [f'<p class="warn">{escape(words)} <span class="quiet">{escape(", ".join(who))}</span></p>'
              for words, who in carriers.items()]
    return "<h2>Flags</h2>" + "".join(lines_)


def _results(evidence: Evidence) -> str:
    found, offered = evidence.comparison, evidence.catalog
    columns = [column for column in found.columns if column.result in HEADLINES]
    parts = ["<h2>Results</h2>", _table(summary(found, columns, offered)),
             '<p class="quiet">Mean ± half of the 95 % Student-t interval over the seeds done; ★ best mean; Δ: '
             "difference from the baseline, paired by seed.</p>",
             _folded("Every mean and interval, unrounded",
                     _table(pd.DataFrame(numbers(found, found.columns, offered), dtype=object)))]
    baselines = [group for group in found.groups if found.is_baseline(group)]
    best = next((column for column in columns if not column.result.startswith("accuracy.")
                 and higher_is_better(evidence.runs, column) is not None), None)
    accuracy = next((column for column in columns if column.result == "accuracy.accuracy"), None)
    if best and baselines:
        rows = [row for baseline in baselines for row in matched(
            [baseline, *(group for group, own in zip(found.groups, found.baselines, strict=True) if own is baseline)],
            baseline, best, accuracy, max_loss=MATCHED_LOSS, higher=bool(higher_is_better(evidence.runs, best)))]
        if rows:
            parts += [f"<h2>{escape(column_label(best, found, offered))} at matched accuracy</h2>",
                      f"<p>At most {MATCHED_LOSS * 100:g} points of accuracy lost.</p>",
                      _table(matches(rows, found, best, offered)), f'<p class="quiet">{selection_words(rows)}</p>']
    return "".join(parts)


def _charts(evidence: Evidence) -> str:
    found, offered = evidence.comparison, evidence.catalog
    columns = [column for column in found.columns if column.result in HEADLINES]
    figures = [response(found, column, offered, title=column_label(column, found, offered)) for column in columns
               if any(len(line.places) > 1 for line in lines(found, column))]
    by_result = {column.result: column for column in columns}
    for up, across in _PAIRS:
        if up in by_result and across in by_result:
            figures.append(tradeoff(found, by_result[across], by_result[up], offered, title="Trade-off")[0])
    names = {run.id: found.label_of(run) for run in evidence.runs}
    for metric in dict.fromkeys(item.name for item in evidence.series):
        shown = [item for item in evidence.series if item.name == metric and item.points]
        if shown:
            figure = overlay(metric_label(metric), metric_label(metric), shown, names, found.run_colors)
            figures.append(figure.update_layout(legend=BELOW, showlegend=len(shown) <= 12))
    figures += [draw(chart.plot, chart.traces) for chart in measured_charts(found, evidence.evaluations, offered)]
    for chart in measured_spreads(found, evidence.evaluations, offered):
        shown_spreads = spreads(chart, found, lambda run_id, item: evidence.arrays.get((run_id, item.name), {}))
        if shown_spreads:
            figures.append(draw_spreads(chart, shown_spreads))
    whole = parallel(found, columns, offered)
    drawn = "".join(f"<div>{_figure(figure)}</div>" for figure in figures)
    return f'<h2>Charts</h2><div class="pair">{drawn}</div>' + (_figure(whole) if whole else "")


def _maps(evidence: Evidence) -> str:
    maps = evidence.maps
    if maps.view is None:
        return f"<h2>Saliency maps</h2><p>{escape(maps.missing)}</p>"
    view = maps.view
    return (f"<h2>Saliency maps</h2><p>{escape(view.method)} of the first test images, target: the label. One scale "
            f"for all maps, ±{view.limit():.4g}: {escape(view.limit_words())}.</p>{scale_html(view)}"
            f'<div class="wide">{panels_html(view, 3)}</div>')


def _runs(evidence: Evidence) -> str:
    """Each run with its results as the API gives them, and where they come from."""
    found = evidence.comparison
    results = list(dict.fromkeys(name for run in evidence.runs for name in run.results))
    rows, intervals = [], []
    for run in all_runs(found):
        seconds = (run.finished_at - run.started_at).total_seconds() if run.finished_at and run.started_at else None
        rows.append({"run": run.id, "group": found.label_of(run), "status": status_text(run.status),
                     **{name: _plain(run.results[name].value) if name in run.results else "—" for name in results},
                     "device": run.device or "—", "took": duration(seconds),
                     **{name: run.provenance.get(name, "—") for name in ("commit", "data_hash", "spec_hash")}})
        intervals += [{"run": run.id, "result": name, "value": _plain(value.value), "low": _plain(value.low),
                       "high": _plain(value.high), "n": value.n} for name, value in run.results.items()]
    packages = {json.dumps({name: run.provenance.get(name) for name in ("version", "commit", "packages", "host")},
                           sort_keys=True): run.provenance for run in evidence.runs if run.provenance}
    shown = "".join(_code({name: value for name, value in item.items() if name not in ("spec_hash",)})
                    for item in packages.values())
    return ("<h2>Runs</h2>" + _table(pd.DataFrame(rows, dtype=object))
            + _folded("Every result with its interval over the test images",
                      _table(pd.DataFrame(intervals, dtype=object)))
            + "<h2>Provenance</h2>" + (shown or "<p>No run has started.</p>"))


def _specs(evidence: Evidence) -> str:
    specs = {run.id: flat(run.spec.model_dump(mode="json")) for run in evidence.runs}
    names = list(dict.fromkeys(name for spec in specs.values() for name in spec))
    texts = {name: {json.dumps(spec.get(name)) for spec in specs.values()} for name in names}
    same = pd.DataFrame([{"setting": name, "value": next(iter(found))} for name, found in texts.items()
                         if len(found) == 1])
    other = [name for name in names if len(texts[name]) > 1]
    rows = [{"run": run, **{name: json.dumps(spec[name]) if name in spec else "—" for name in other}}
            for run, spec in specs.items()]
    whole = {run.id: run.spec.model_dump(mode="json") for run in evidence.runs}
    return ("<h2>Specs</h2><h3>What differs</h3>" + _table(pd.DataFrame(rows, dtype=object))
            + _folded("What all runs share", _table(same)) + _folded("The specs in full", _code(whole)))


def _requests(evidence: Evidence) -> str:
    """What to send to have the same again."""
    base = f"{evidence.url.rstrip('/')}/api/v1"
    parts = ["<h2>Requests</h2><p>What launched this experiment; sent again it launches the same runs:</p>",
             _post(f"{base}/experiments", evidence.experiment.request)]
    if evidence.experiment.additions:
        parts.append("<p>What added runs to it, in this order:</p>")
        parts += [_post(f"{base}/experiments/{evidence.experiment.id}/runs", addition)
                  for addition in evidence.experiment.additions]
    if evidence.maps.request:
        parts += ["<p>The maps:</p>", _post(f"{base}/attributions", evidence.maps.request.model_dump(mode="json"))]
    number = evidence.experiment.id
    reads = [f"{base}/experiments/{number}", f"{base}/runs?experiment={number}&limit=100",
             f"{base}/runs/{evidence.runs[0].id}/evaluations", f"{base}/runs/{evidence.runs[0].id}/metrics"]
    parts += ["<p>The numbers:</p>", "<pre>" + "\n".join(escape(f"curl '{url}'") for url in reads) + "</pre>"]
    return "".join(parts)


def _post(url: str, body: Any) -> str:
    sent = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    return f"<pre>{escape(f'''curl -X POST {url} -H 'Content-Type: application/json' -d '{sent}' ''')}</pre>"


def _figure(figure: go.Figure) -> str:
    return figure.to_html(full_html=False, include_plotlyjs=False, default_height=390,
                          config={"displaylogo": False, "responsive": True})


def _table(table: pd.DataFrame) -> str:
    head = "".join(f"<th>{escape(str(name))}</th>" for name in table.columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(_plain(value))}</td>" for value in row) + "</tr>"
                   for row in table.astype(object).itertuples(index=False))
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _plain(value: Any) -> str:
    """A number to its last digit; what is missing as a dash."""
    if value is None or (isinstance(value, float) and value != value):
        return "—"
    return repr(float(value)) if isinstance(value, float) else str(value)


def _code(content: Any) -> str:
    return f"<pre>{escape(json.dumps(content, indent=1, ensure_ascii=False))}</pre>"


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{content}</details>"
