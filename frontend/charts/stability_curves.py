"""The similarity of maps against the perturbation's strength, from each run's evaluations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from densitylab.backend.shared.contracts import Component, Evaluation, Status, Value
from densitylab.frontend.analysis.colors import translucent
from densitylab.frontend.analysis.formatting import with_interval
from densitylab.frontend.charts.figures import BELOW, MARGIN
from densitylab.frontend.maps.view import RunColumn

STABILITY = "stability"  # the evaluation's key
CONTROLS = {"random_map": ("a random map", "dot"), "random_weights": ("random weights", "dash")}


@dataclass(frozen=True)
class Point:
    """A run's evaluation at one strength."""

    strength: float
    evaluation: Evaluation

    def value(self, metric: str) -> Value | None:
        return self.evaluation.values.get(metric)


def evaluation_params(
    attribution: Component, perturbation: Component, strength_name: str, strength: float, images: int
) -> dict[str, Any]:
    """Return the parameters of the evaluation at one strength."""
    changed = {**perturbation.params, strength_name: strength}
    return {
        "attribution": attribution.model_dump(),
        "perturbation": {"key": perturbation.key, "params": changed},
        "samples": images,
    }


def points(
    evaluations: Sequence[Evaluation], attribution: Component, perturbation: Component, strength_name: str
) -> list[Point]:
    """Return the points of a method and a perturbation in order of strength; of several at one strength, the one on
    the most images."""
    by_strength: dict[float, Evaluation] = {}
    for item in evaluations:
        if item.key != STABILITY or item.status is not Status.SUCCEEDED:
            continue
        changed = dict(item.params["perturbation"]["params"])
        strength = changed.pop(strength_name, None)
        rest = {name: value for name, value in perturbation.params.items() if name != strength_name}
        same = item.params["perturbation"]["key"] == perturbation.key and changed == rest
        if strength is None or not same or item.params["attribution"] != attribution.model_dump():
            continue
        if strength not in by_strength or _images(item) > _images(by_strength[strength]):
            by_strength[strength] = item
    return [Point(strength, by_strength[strength]) for strength in sorted(by_strength)]


def _images(item: Evaluation) -> int:
    return max((value.n for value in item.values.values()), default=0)


def curves(
    metric: str,
    metric_label: str,
    strength_label: str,
    columns: Sequence[RunColumn],
    by_run: Mapping[int, Sequence[Point]],
) -> go.Figure:
    """Draw a line with 95 % intervals per run, and its controls faint: the values without any stability."""
    figure = go.Figure()
    strengths = sorted({point.strength for column in columns for point in by_run.get(column.run, ())})
    for column in columns:
        for control, (name, dash) in CONTROLS.items():
            known = _known(by_run.get(column.run, ()), f"{metric}_{control}")
            if known:
                figure.add_scatter(
                    x=[point.strength for point, _ in known],
                    y=[value.value for _, value in known],
                    mode="lines" if len(known) > 1 else "markers",
                    marker={"symbol": "line-ew-open", "size": 14},
                    name=f"{column.label}: {name}",
                    uid=f"{column.run}-{control}",
                    hovertemplate="%{y:.3g}",
                    line={"color": translucent(column.color, 0.55), "width": 1.2, "dash": dash},
                )
        known = _known(by_run.get(column.run, ()), metric)
        if known:
            figure.add_scatter(
                x=[point.strength for point, _ in known],
                y=[value.value for _, value in known],
                name=column.label,
                uid=str(column.run),
                mode="lines+markers",
                marker={"size": 9},
                line={"color": column.color, "width": 2},
                hovertemplate="%{y:.3g}",
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "thickness": 1.2,
                    "array": [(value.value if value.high is None else value.high) - value.value for _, value in known],
                    "arrayminus": [
                        value.value - (value.value if value.low is None else value.low) for _, value in known
                    ],
                },
                customdata=[[column.run, point.strength, point.evaluation.name] for point, _ in known],
            )
    figure.update_layout(
        template="none",
        margin=MARGIN | {"t": 12},
        hovermode="closest",
        legend=BELOW,
        showlegend=True,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 12},
        uirevision=f"{metric}-{strength_label}",
    )
    figure.update_xaxes(title={"text": strength_label, "standoff": 6}, automargin=True)
    if len(strengths) == 1 and strengths[0] > 0:  # plotly's own range would be a unit around it
        figure.update_xaxes(range=[0, 2 * strengths[0]])
    figure.update_yaxes(title={"text": metric_label, "standoff": 6}, automargin=True)
    return figure


def reading(
    metric: str,
    metric_label: str,
    strength_label: str,
    columns: Sequence[RunColumn],
    by_run: Mapping[int, Sequence[Point]],
) -> str:
    """Return what the curves say at the largest strength that all of them have, in sentences."""
    known = {
        column.label: {point.strength: value for point, value in _known(by_run.get(column.run, ()), metric)}
        for column in columns
    }
    drawn = {label: values for label, values in known.items() if values}
    shared = set.intersection(*map(set, drawn.values())) if drawn else set()
    without = [label for label, values in known.items() if not values]
    missing = f" Not evaluated: {', '.join(without)}." if without else ""
    if not shared:
        return f"The runs have no strength in common: evaluate them at the same ones to compare them.{missing}"
    strength = max(shared)
    values = {label: of_run[strength] for label, of_run in drawn.items()}
    lower_is_better = next(iter(values.values())).higher_is_better is False
    order = sorted(values, key=lambda label: values[label].value or 0, reverse=not lower_is_better)
    first, last = values[order[0]], values[order[-1]]
    at = f"With {strength_label} = {strength:g}"
    if len(order) == 1:
        return f"{at} the maps of {order[0]} before and after have {metric_label} {with_interval(first)}.{missing}"
    overlap = first.low is not None and last.low is not None and first.low <= last.high and last.low <= first.high
    return (
        f"{at} the maps of {order[0]} change least ({metric_label} {with_interval(first, with_n=False)}), those of "
        f"{order[-1]} most ({with_interval(last)})"
        + (": the intervals overlap, so the order may be chance." if overlap else ".")
        + missing
    )


def table(columns: Sequence[RunColumn], by_run: Mapping[int, Sequence[Point]], metric: str) -> list[dict[str, Any]]:
    """Return a row per point with its interval, n and controls."""
    rows = []
    for column in columns:
        for point in by_run.get(column.run, ()):
            value = point.value(metric)
            row: dict[str, Any] = {"run": column.run, "settings": column.label, "strength": point.strength}
            if value is not None:
                row |= {metric: value.value, "low": value.low, "high": value.high, "n": value.n}
            row |= {
                name: control.value
                for key, (name, _) in CONTROLS.items()
                if (control := point.value(f"{metric}_{key}")) is not None
            }
            rows.append(row)
    return rows


def _known(points: Sequence[Point], name: str) -> list[tuple[Point, Any]]:
    pairs = [(point, point.value(name)) for point in points]
    return [(point, value) for point, value in pairs if value is not None and value.value is not None]
