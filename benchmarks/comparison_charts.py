"""The comparison as curves: a panel per network, a line per method from λ = 0 to its largest λ."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.comparison_tables import chosen, column
from frontend.aggregate import mean_over_seeds
from frontend.colors import palette
from frontend.comparison import Comparison, Family

ACROSS = "accuracy.accuracy"
LOSS_SHOWN = 0.1  # of accuracy; what lies further left is in the tables
WIDTH, PANEL = 9.5, (3.6, 3.4)  # inches


@dataclass(frozen=True)
class Chart:
    """Results against accuracy, a row of panels each."""

    rows: tuple[tuple[str, str, str], ...]  # result, its label, its scale


ROBUSTNESS = Chart((("pgd_linf.accuracy", "PGD accuracy, L∞ 0.1 (↑ better)", "linear"),))
LEAKAGE = Chart((("leakage.l2", "leakage, L2 (↓ better)", "log"),
                 ("leakage.share", "leakage share (↓ better)", "linear")))


def draw(comparisons: Mapping[str, Comparison], chart: Chart, file: Path) -> None:
    """Writes the chart as SVG."""
    count = len(comparisons)
    size = (max(WIDTH, PANEL[0] * count), PANEL[1] * len(chart.rows) + 1)
    labels = sorted({family.label for found in comparisons.values() for family in found.families})
    colors = dict(zip(labels, palette(range(len(labels))).values(), strict=True))  # one per method on all networks
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(chart.rows), count, squeeze=False, sharey="row")
    for line, (result, label, scale) in zip(panels, chart.rows, strict=True):
        for place, (axes, (network, found)) in enumerate(zip(line, comparisons.items(), strict=True)):
            _panel(axes, found, result, colors)
            axes.set_yscale(scale)
            axes.set_title(network, fontsize=11)
            axes.set_xlabel("test accuracy (→ better)")
            if place == 0:
                axes.set_ylabel(label)
    handles = {label: handle for panel in panels[0] for handle, label in zip(*panel.get_legend_handles_labels(),
                                                                             strict=True)}
    figure.legend([handles[label] for label in labels], labels, loc="outside lower center",
                  ncols=2 if count < 3 else 3, frameon=False, fontsize=9)
    with rc_context({"svg.hashsalt": "densitylab"}):  # equal figures give equal files
        figure.savefig(file, metadata={"Date": None})


def _panel(axes: Axes, found: Comparison, result: str, colors: Mapping[str, str]) -> None:
    for family in found.families:
        _line(axes, found, family, result, colors[family.label])
    plain = [mean.mean for group in found.groups if found.is_baseline(group)
             and (mean := mean_over_seeds(group, column(found, ACROSS)))]
    if plain:
        axes.set_xlim(left=min(plain) - LOSS_SHOWN)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _line(axes: Axes, found: Comparison, family: Family, result: str, color: str) -> None:
    """Means over seeds ; a ring around the λ chosen on validation."""
    groups = [*([family.origin] if family.origin else []), *family.groups]
    placed = [(group, x, y) for group in groups if (x := mean_over_seeds(group, column(found, ACROSS)))
              and (y := mean_over_seeds(group, column(found, result)))]
    picked = chosen(family)
    axes.plot([x.mean for _, x, _ in placed], [y.mean for _, _, y in placed], color=color, marker="o",
              markersize=3.5, linewidth=1.4, label=family.label)
    axes.scatter([x.mean for group, x, _ in placed if group is picked],
                 [y.mean for group, _, y in placed if group is picked],
                 s=70, facecolors="none", edgecolors=color, linewidths=1.4, zorder=3)
