"""Charts of the comparison: one panel per network, one line per method from λ = 0 to its largest λ."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.comparison_tables import column, selected
from densitylab.backend.shared.statistics.groups import Group, mean_over_seeds
from densitylab.frontend.analysis.colors import palette
from densitylab.frontend.analysis.comparison import Comparison, Family

ACROSS = "accuracy.accuracy"
LOSS_SHOWN = 0.1  # accuracy loss; points further left are in the tables only
WIDTH, PANEL = 9.5, (3.6, 3.4)  # inches


@dataclass(frozen=True)
class Chart:
    """Results against accuracy, one row of panels per result."""

    rows: tuple[tuple[str, str, str], ...]  # (result, label, scale)


ROBUSTNESS = Chart((("pgd_linf.accuracy", "PGD accuracy, L∞ 0.1 (↑ better)", "linear"),))
LEAKAGE = Chart(
    (("leakage.l2", "leakage, L2 (↓ better)", "log"), ("leakage.share", "leakage share (↓ better)", "linear"))
)


def draw(comparisons: Mapping[str, Comparison], chart: Chart, file: Path) -> None:
    """Write the chart as SVG."""
    count = len(comparisons)
    size = (max(WIDTH, PANEL[0] * count), PANEL[1] * len(chart.rows) + 1)
    labels = sorted({family.label for comparison in comparisons.values() for family in comparison.families})
    colors = dict(zip(labels, palette(range(len(labels))).values(), strict=True))  # by method
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(chart.rows), count, squeeze=False, sharey="row")
    for line, (result, label, scale) in zip(panels, chart.rows, strict=True):
        for position, (axes, (network, comparison)) in enumerate(zip(line, comparisons.items(), strict=True)):
            _panel(axes, comparison, result, colors)
            axes.set_yscale(scale)
            axes.set_title(network, fontsize=11)
            axes.set_xlabel("test accuracy (→ better)")
            if position == 0:
                axes.set_ylabel(label)
    handles = {
        label: handle for panel in panels[0] for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        [handles[label] for label in labels],
        labels,
        loc="outside lower center",
        ncols=2 if count < 3 else 3,
        frameon=False,
        fontsize=9,
    )
    with rc_context({"svg.hashsalt": "densitylab"}):  # the same figures give the same file
        figure.savefig(file, metadata={"Date": None})


def _panel(axes: Axes, comparison: Comparison, result: str, colors: Mapping[str, str]) -> None:
    choices = {label: row.group for label, row in selected(comparison).items()}
    for family in comparison.families:
        _line(axes, comparison, family, choices.get(family.label), result, colors[family.label])
    plain = [
        mean.mean
        for group in comparison.groups
        if comparison.is_baseline(group) and (mean := mean_over_seeds(group, column(comparison, ACROSS)))
    ]
    if plain:
        axes.set_xlim(left=min(plain) - LOSS_SHOWN)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _line(axes: Axes, comparison: Comparison, family: Family, picked: Group | None, result: str, color: str) -> None:
    """Draw the means over seeds, with a ring around the λ selected on validation data."""
    groups = [*([family.origin] if family.origin else []), *family.groups]
    placed = [
        (group, x, y)
        for group in groups
        if (x := mean_over_seeds(group, column(comparison, ACROSS)))
        and (y := mean_over_seeds(group, column(comparison, result)))
    ]
    axes.plot(
        [x.mean for _, x, _ in placed],
        [y.mean for _, _, y in placed],
        color=color,
        marker="o",
        markersize=3.5,
        linewidth=1.4,
        label=family.label,
    )
    axes.scatter(
        [x.mean for group, x, _ in placed if group is picked],
        [y.mean for group, _, y in placed if group is picked],
        s=70,
        facecolors="none",
        edgecolors=color,
        linewidths=1.4,
        zorder=3,
    )
