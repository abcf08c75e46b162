"""A measure of likeness against the perturbation's strength, from the evaluations that were taken of each run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from backend.shared.contracts import Component, Evaluation, Status, Value
from frontend.charts import BELOW, MARGIN
from frontend.colors import translucent
from frontend.panels import RunColumn

STABILITY = "stability"  # the evaluation's key
CONTROLS = {"random_map": ("a random map", "dot"), "random_weights": ("random weights", "dash")}


@dataclass(frozen=True)
class Point:
    """One run's measure at one strength."""

    strength: float
    evaluation: Evaluation

    def value(self, measure: str) -> Value | None:
        return self.evaluation.values.get(measure)


def asked(
    attribution: Component, perturbation: Component, strength_name: str, strength: float, images: int
) -> dict[str, Any]:
    """The parameters of the evaluation that measures at one strength."""
    changed = {**perturbation.params, strength_name: strength}
    return {"attribution": attribution.model_dump(), "perturbation": {"key": perturbation.key, "params": changed},
            "samples": images}


def points(
    evaluations: Sequence[Evaluation], attribution: Component, perturbation: Component, strength_name: str
) -> list[Point]:
    """The run's points of this method and this perturbation at whatever strength, in order of it; of each strength the
    one on the most images."""
    found: dict[float, Evaluation] = {}
    for item in evaluations:
        if item.key != STABILITY or item.status is not Status.SUCCEEDED:
            continue
        changed = dict(item.params["perturbation"]["params"])
        strength = changed.pop(strength_name, None)
        rest = {name: value for name, value in perturbation.params.items() if name != strength_name}
        same = item.params["perturbation"]["key"] == perturbation.key and changed == rest
        if strength is None or not same or item.params["attribution"] != attribution.model_dump():
            continue
        if strength not in found or _images(item) > _images(found[strength]):
            found[strength] = item
    return [Point(strength, found[strength]) for strength in sorted(found)]


def _images(item: Evaluation) -> int:
    return max((value.n for value in item.values.values()), default=0)


def curves(
    measure: str, words: str, strength_words: str, columns: Sequence[RunColumn], found: Mapping[int, Sequence[Point]]
) -> go.Figure:
    """A line with 95 % intervals per run; faint below it the controls, which say what no stability would give."""
    figure = go.Figure()
    for column in columns:
        for control, (name, dash) in CONTROLS.items():
            known = _known(found.get(column.run, ()), f"{measure}_{control}")
            if known:
                figure.add_scatter(
                    x=[point.strength for point, _ in known], y=[value.value for _, value in known], mode="lines",
                    name=f"{column.label}: {name}", uid=f"{column.run}-{control}", hovertemplate="%{y:.3g}",
                    line={"color": translucent(column.color, 0.55), "width": 1.2, "dash": dash},
                )
        known = _known(found.get(column.run, ()), measure)
        if known:
            figure.add_scatter(
                x=[point.strength for point, _ in known], y=[value.value for _, value in known], name=column.label,
                uid=str(column.run), mode="lines+markers", marker={"size": 9},
                line={"color": column.color, "width": 2}, hovertemplate="%{y:.3g}",
                error_y={"type": "data", "symmetric": False, "thickness": 1.2,
                         "array": [(value.value if value.high is None else value.high) - value.value
                                   for _, value in known],
                         "arrayminus": [value.value - (value.value if value.low is None else value.low)
                                        for _, value in known]},
                customdata=[[column.run, point.strength, point.evaluation.name] for point, _ in known],
            )
    figure.update_layout(
        template="none", margin=MARGIN | {"t": 12}, hovermode="closest", legend=BELOW,
        showlegend=True, paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", font={"size": 12},
        uirevision=f"{measure}-{strength_words}",
    )
    figure.update_xaxes(title={"text": strength_words, "standoff": 6}, automargin=True)
    figure.update_yaxes(title={"text": words, "standoff": 6}, automargin=True)
    return figure


def table(columns: Sequence[RunColumn], found: Mapping[int, Sequence[Point]], measure: str) -> list[dict[str, Any]]:
    """Every point with its interval, its n and its controls."""
    rows = []
    for column in columns:
        for point in found.get(column.run, ()):
            value = point.value(measure)
            row: dict[str, Any] = {"run": column.run, "settings": column.label, "strength": point.strength}
            if value is not None:
                row |= {measure: value.value, "low": value.low, "high": value.high, "n": value.n}
            row |= {name: control.value for key, (name, _) in CONTROLS.items()
                    if (control := point.value(f"{measure}_{key}")) is not None}
            rows.append(row)
    return rows


def _known(found: Sequence[Point], name: str) -> list[tuple[Point, Any]]:
    pairs = [(point, point.value(name)) for point in found]
    return [(point, value) for point, value in pairs if value is not None and value.value is not None]
