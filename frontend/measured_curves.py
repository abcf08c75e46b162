"""Curves of evaluations over runs: the mean over seeds with its band where the seeds share their points, else each
run's own. No Streamlit in here."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.shared.contracts import CatalogPlot, Curve, Evaluation, Run
from frontend.aggregate import estimate
from frontend.catalog import Catalog
from frontend.comparison import Comparison
from frontend.result_charts import Trace, behind, plots, trace_label
from frontend.words import readable


@dataclass(frozen=True)
class Alike:
    """What may stand in one chart: a curve or value measured with the same parameters on the same data."""

    title: str
    curve: str  # in words
    params: str  # canonical JSON
    data_hash: str

    @classmethod
    def of(cls, run: Run, item: Evaluation, plot: CatalogPlot, curve: str) -> "Alike":
        return cls(plot.title, curve, json.dumps(item.params, sort_keys=True), run.provenance.get("data_hash") or "")


@dataclass(frozen=True)
class Measured:
    """One curve of one run, and what names the images behind each of its points."""

    run: Run
    curve: Curve
    images: list[str | None]
    flags: list[str]  # why it may be false


@dataclass(frozen=True)
class MeasuredChart:
    """One chart of a comparison: each point's click gives "run" or "run|images behind the point"."""

    label: str
    plot: CatalogPlot
    traces: list[Trace]
    flags: dict[str, list[int]]  # why a curve may be false, and whose: ids of runs


def measured_charts(
    found: Comparison, evaluations: Mapping[int, Sequence[Evaluation]], offered: Catalog
) -> list[MeasuredChart]:
    """A chart per curve that evaluations gave, with a trace per group of runs.

    Args:
        found: the runs in groups.
        evaluations: by run.
        offered: the catalog, whose plots say how each curve is drawn.
    """
    drawn: dict[Alike, tuple[CatalogPlot, list[Trace]]] = {}
    flags: dict[Alike, dict[str, list[int]]] = {}
    for label, color, group in zip(found.labels, found.colors, found.groups, strict=True):
        gathered: dict[Alike, tuple[CatalogPlot, list[Measured]]] = {}
        for run in group.runs:
            for key, plot, measured in _curves(run, evaluations.get(run.id, ()), offered):
                gathered.setdefault(key, (plot, []))[1].append(measured)
                for text in measured.flags:
                    flags.setdefault(key, {}).setdefault(text, []).append(run.id)
        for key, (plot, members) in gathered.items():
            drawn.setdefault(key, (plot, []))[1].extend(_traces(label, color, members, found))
    labels = {key: label_of(key, drawn) for key in drawn}
    return [MeasuredChart(labels[key], plot.model_copy(update={"title": labels[key]}), traces, flags.get(key, {}))
            for key, (plot, traces) in drawn.items()]


def opened(click: str) -> tuple[int, str | None]:
    """(run, images behind the point) of a click."""
    run, _, images = click.partition("|")
    return int(run), images or None


def _curves(
    run: Run, evaluations: Sequence[Evaluation], offered: Catalog
) -> list[tuple[Alike, CatalogPlot, Measured]]:
    found = []
    for sharing in plots(evaluations, offered).values():
        for item, plot in sharing:
            for name in plot.names:
                if name in item.curves:
                    words = trace_label(item, plot, name, sharing, offered)
                    key = Alike.of(run, item, plot, words)
                    curve = item.curves[name]
                    found.append((key, plot, Measured(run, curve, [behind(item, plot, name, x) for x in curve.x],
                                                      [flag.text for flag in item.flags])))
    return found


def _traces(label: str, color: str, members: Sequence[Measured], found: Comparison) -> list[Trace]:
    """The mean over the seeds at the points that they share; each run's own where they have points of their own."""
    members = list({member.run.spec.seed: member for member in members}.values())  # the newest of a seed run twice
    first = members[0]
    if len(members) == 1 or any(member.curve.x != first.curve.x for member in members):
        return [Trace(found.label_of(member.run) if len(members) > 1 else label, found.run_colors[member.run.id],
                      member.curve, _clicks(member)) for member in members]
    means = [estimate([value for value in values if value is not None])
             for values in zip(*(member.curve.y for member in members), strict=True)]
    curve = first.curve.model_copy(update={
        "y": [mean.mean if mean else None for mean in means], "low": [mean.low if mean else None for mean in means],
        "high": [mean.high if mean else None for mean in means],
    })
    return [Trace(f"{label}, mean of {len(members)}", color, curve, _clicks(first))]


def _clicks(member: Measured) -> list[str]:
    return [f"{member.run.id}|{images}" if images else str(member.run.id) for images in member.images]


def label_of(key: Alike, drawn: Mapping[Alike, object]) -> str:
    """The chart in words; its parameters and data too where the same curve was measured in more than one way."""
    label = f"{key.title}: {key.curve}"
    rivals = [other for other in drawn if (other.title, other.curve) == (key.title, key.curve) and other != key]
    params = json.loads(key.params)
    apart = [f"{readable(name)} {value}" for name, value in params.items()
             if any(json.loads(other.params).get(name) != value for other in rivals)]
    if any(other.data_hash != key.data_hash for other in rivals):
        apart.append(f"data {key.data_hash[:6] or 'unknown'}")
    return f"{label} ({', '.join(apart)})" if apart else label
