"""Evaluation curves over runs: means over seeds where the seeds share their x values, else single runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from densitylab.backend.shared.contracts import CatalogPlot, Curve, Evaluation, EvaluationSplit, Run
from densitylab.backend.shared.statistics.bounds import Bounds
from densitylab.backend.shared.statistics.estimates import estimate
from densitylab.frontend.analysis.comparison import Comparison
from densitylab.frontend.analysis.formatting import readable
from densitylab.frontend.analysis.group_names import names_of_x
from densitylab.frontend.charts.figures import FEW_SEEDS
from densitylab.frontend.charts.results import Trace, images_link, plots_by_title, trace_label
from densitylab.frontend.client.catalog import Catalog


@dataclass(frozen=True)
class ChartKey:
    """The key of a chart: a curve evaluated with the same parameters on the same images."""

    evaluation: str  # key of its catalog entry
    title: str
    curve: str  # its label
    params: str  # canonical JSON
    data_hash: str
    split: EvaluationSplit

    @classmethod
    def of(cls, run: Run, item: Evaluation, plot: CatalogPlot, curve: str) -> "ChartKey":
        data_hash = run.provenance.get("data_hash") or ""
        return cls(item.key, plot.title, curve, json.dumps(item.params, sort_keys=True), data_hash, item.split)


@dataclass(frozen=True)
class RunCurve:
    """A curve of a run with the images behind its points."""

    run: Run
    curve: Curve
    bounds: Bounds  # of its values
    images: list[str | None]
    flags: list[str]  # warnings
    x_names: list[str]  # of x = 0, 1, ...; empty: x is a number


@dataclass(frozen=True)
class EvaluationChart:
    """A chart of a comparison; a clicked point gives "run" or "run|images"."""

    label: str
    evaluation: str  # key of its catalog entry
    plot: CatalogPlot
    traces: list[Trace]
    flags: dict[str, list[int]]  # warnings with the ids of their runs


def evaluation_charts(
    comparison: Comparison, evaluations: Mapping[int, Sequence[Evaluation]], catalog: Catalog
) -> list[EvaluationChart]:
    """Return a chart per evaluation curve, with a trace per group of runs.

    Args:
        comparison: the runs in groups.
        evaluations: by run.
        catalog: its plots specify how each curve is drawn.
    """
    drawn: dict[ChartKey, tuple[CatalogPlot, list[Trace]]] = {}
    flags: dict[ChartKey, dict[str, list[int]]] = {}
    groups = zip(comparison.labels, comparison.colors, comparison.dashes, comparison.groups, strict=True)
    for label, color, dash, group in groups:
        gathered: dict[ChartKey, tuple[CatalogPlot, list[RunCurve]]] = {}
        for run in group.runs:
            for key, plot, curve in _curves(run, evaluations.get(run.id, ()), catalog):
                gathered.setdefault(key, (plot, []))[1].append(curve)
                for text in curve.flags:
                    flags.setdefault(key, {}).setdefault(text, []).append(run.id)
        for key, (plot, members) in gathered.items():
            drawn.setdefault(key, (plot, []))[1].extend(_traces(label, color, dash, members, comparison))
    labels = {key: chart_label(key, drawn) for key in drawn}
    return [
        EvaluationChart(
            labels[key], key.evaluation, plot.model_copy(update={"title": labels[key]}), traces, flags.get(key, {})
        )
        for key, (plot, traces) in drawn.items()
    ]


def parse_click(click: str) -> tuple[int, str | None]:
    """Return the run and the images of a clicked point."""
    run, _, images = click.partition("|")
    return int(run), images or None


def _curves(
    run: Run, evaluations: Sequence[Evaluation], catalog: Catalog
) -> list[tuple[ChartKey, CatalogPlot, RunCurve]]:
    curves = []
    for sharing in plots_by_title(evaluations, catalog).values():
        for item, plot in sharing:
            for name in plot.names:
                if name in item.curves:
                    words = trace_label(item, plot, name, sharing, catalog)
                    key = ChartKey.of(run, item, plot, words)
                    curve = item.curves[name]
                    curves.append(
                        (
                            key,
                            plot,
                            RunCurve(
                                run,
                                curve,
                                catalog.bounds(item.key, name),
                                [images_link(item, plot, name, x) for x in curve.x],
                                [flag.text for flag in item.flags],
                                names_of_x(curve, catalog, run.spec.dataset.key, item.params),
                            ),
                        )
                    )
    return curves


def _traces(label: str, color: str, dash: str, members: Sequence[RunCurve], comparison: Comparison) -> list[Trace]:
    """Return the mean over seeds where all have the same x values, else one trace per run."""
    members = list(
        {member.run.spec.seed: member for member in members}.values()
    )  # of several runs with one seed the newest
    first = members[0]
    if len(members) == 1 or any(member.curve.x != first.curve.x for member in members):
        return [
            Trace(
                comparison.label_of(member.run) if len(members) > 1 else label,
                comparison.run_colors[member.run.id],
                member.curve,
                _clicks(member),
                member.bounds,
                member.x_names,
                comparison.run_dashes[member.run.id] if len(members) > 1 else dash,
            )
            for member in members
        ]
    means = [
        estimate([value for value in values if value is not None], first.bounds)
        for values in zip(*(member.curve.y for member in members), strict=True)
    ]
    curve = first.curve.model_copy(
        update={
            "y": [mean.mean if mean else None for mean in means],
            "low": [mean.low if mean else None for mean in means],
            "high": [mean.high if mean else None for mean in means],
        }
    )
    few = len(members) <= FEW_SEEDS
    return [
        Trace(
            f"{label}, mean of {len(members)}",
            color,
            curve,
            _clicks(first),
            first.bounds,
            first.x_names,
            dash,
            bars=few,
        )
    ]


def _clicks(member: RunCurve) -> list[str]:
    return [f"{member.run.id}|{images}" if images else str(member.run.id) for images in member.images]


def chart_label(key: ChartKey, drawn: Mapping[ChartKey, object]) -> str:
    """Return the chart's label, with parameters and data where the curve has several variants."""
    label = f"{key.title}: {key.curve}"
    rivals = [other for other in drawn if (other.title, other.curve) == (key.title, key.curve) and other != key]
    params = json.loads(key.params)
    apart = [
        f"{readable(name)} {value}"
        for name, value in params.items()
        if any(json.loads(other.params).get(name) != value for other in rivals)
    ]
    if any(other.data_hash != key.data_hash for other in rivals):
        apart.append(f"data {key.data_hash[:6] or 'unknown'}")
    if key.split != "test":
        apart.append(f"{key.split} images")
    return f"{label} ({', '.join(apart)})" if apart else label
