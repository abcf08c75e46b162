"""The first three figures of the gallery: maps, an attack, and log p around an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from benchmarks.gallery.requests import EPSILON, IMAGES, GalleryData, MapSet
from densitylab.backend.shared.contracts import Panel
from densitylab.backend.shared.contracts import View as Numbers
from densitylab.frontend.charts.density import relative
from densitylab.frontend.maps.render import channel_mean, image_pixels, mask_pixels

COLORS = colormaps["RdBu_r"]
LINES = {0.0: "#0072B2", 0.01: "#56B4E9", 0.1: "#D55E00", 1.0: "#009E73", 10.0: "#CC79A7"}  # Okabe & Ito (2008)
SMALL = 8.5  # points


def name(lambda_: float) -> str:
    return f"λ = {lambda_:g}"


def gradients(data: GalleryData) -> Figure:
    """Draw one row per image: above with one scale for all maps, below with one scale per map."""
    map_set = data.gradients
    drawn = Figure(figsize=(9.6, 12.2), layout="constrained")
    blocks = drawn.subfigures(2, 1)
    limit = map_set.answer.limit or 1.0
    for block, own in zip(blocks, (False, True), strict=True):
        grid = block.subplots(len(IMAGES), 2 + len(map_set.lambdas))
        block.suptitle(
            "One scale per map: location"
            if own
            else f"One scale for all maps, −{limit:.2g} to +{limit:.2g}: magnitude",
            fontsize=11,
            fontweight="bold",
        )
        for sample, line in enumerate(grid):
            panels = [_panel(map_set, row, sample) for row in range(len(map_set.lambdas))]
            _show(
                line[0],
                image_pixels(map_set.maps.images[sample]),
                "image" if sample == 0 else "",
                f"test image {IMAGES[sample]},\nlabel {data.class_names[panels[0].label or 0]}",
            )
            if map_set.maps.masks is not None:
                _show(line[1], mask_pixels(map_set.maps.masks[sample]), "null block (white)" if sample == 0 else "", "")
            for row, (axes, panel) in enumerate(zip(line[2:], panels, strict=True)):
                values = channel_mean(map_set.maps.attributions[row, sample])
                end = float(np.abs(values).max()) or 1.0
                caption = f"scale ±{end:.2g}" if own else f"leak {panel.leakage:.2g}\nshare {_share(panel)}"
                _map(axes, values, end if own else limit, name(map_set.lambdas[row]) if sample == 0 else "", caption)
    return drawn


def attack(data: GalleryData) -> Figure:
    """Draw one row per λ: image, attacked image, change, and the maps before and after, with one scale per row."""
    map_set = data.attack
    drawn = Figure(figsize=(9.2, 10.4), layout="constrained")
    heads = (
        "image",
        f"attacked, L∞ ≤ {EPSILON:g}",
        "perturbation",
        "gradient, before",
        "gradient, after",
        "difference",
    )
    after, changed = map_set.maps.perturbed_attributions, map_set.maps.perturbed_images
    if after is None or changed is None:
        raise ValueError("these maps have no perturbation")
    grid = drawn.subplots(len(map_set.lambdas), len(heads))
    for row, (line, lambda_) in enumerate(zip(grid, map_set.lambdas, strict=True)):
        panel, image = _panel(map_set, row, 0), map_set.maps.images[0]
        clean = image / 255 if image.dtype == np.uint8 else image
        one, other = channel_mean(map_set.maps.attributions[row, 0]), channel_mean(after[row, 0])
        limit = float(max(np.abs(one).max(), np.abs(other).max())) or 1.0
        moved = panel.perturbed
        if moved is None:
            raise ValueError("this panel has no perturbation")
        titles = heads if row == 0 else [""] * len(heads)
        _show(line[0], image_pixels(image), titles[0], _prediction(data, panel, panel.label))
        line[0].set_ylabel(name(lambda_), fontsize=11, fontweight="bold")
        _show(line[1], image_pixels(changed[row, 0]), titles[1], _prediction(data, moved, panel.label))
        _map(line[2], channel_mean(changed[row, 0] - clean), EPSILON, titles[2], f"scale ±{EPSILON:g}")
        _map(line[3], one, limit, titles[3], f"scale ±{limit:.2g}")
        _map(line[4], other, limit, titles[4], f"scale ±{limit:.2g}")
        _map(line[5], other - one, limit, titles[5], f"scale ±{limit:.2g}\ncosine {moved.similarity['cosine']:.2f}")
    return drawn


def density(data: GalleryData) -> Figure:
    """Draw log p along two directions, and on a plane for each λ."""
    drawn = Figure(figsize=(9.6, 7.6), layout="constrained")
    above, below = drawn.subfigures(2, 1, height_ratios=(1, 1.05))
    titles = {"random": "Along one random direction", "gradient": "Along each network's own ∇ log p(x)"}
    for axes, (direction, title) in zip(above.subplots(1, 2, sharey=True), titles.items(), strict=True):
        slices = data.slices[direction]
        for lambda_, item in zip(data.attack.lambdas, slices.of_runs, strict=True):
            axes.plot(slices.distances, _numbers(relative(item.curve, item)), color=LINES[lambda_], label=name(lambda_))
        axes.axvline(0, color="0.6", linewidth=0.8, linestyle=":")
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("distance from the image, L2 in pixel units of [0, 1]")
        plain(axes)
    above.axes[0].set_ylabel("log p(x + t d) − log p(x)")
    above.axes[0].legend(frameon=False, fontsize=9)
    slices = data.slices["gradient"]
    planes = [np.array([_numbers(relative(row, item)) for row in item.plane]) for item in slices.of_runs]
    limit = float(max(np.nanmax(np.abs(plane)) for plane in planes)) or 1.0
    ends = (slices.sides[0], slices.sides[-1])
    grid = below.subplots(1, len(planes), sharey=True)
    for axes, plane, lambda_ in zip(grid, planes, data.attack.lambdas, strict=True):
        axes.imshow(plane, origin="lower", extent=(*ends, *ends), cmap=COLORS, vmin=-limit, vmax=limit)
        axes.contour(
            np.array(slices.sides),
            np.array(slices.sides),
            plane,
            levels=np.linspace(-limit, limit, 21),
            colors="0.25",
            linewidths=0.5,
        )
        axes.plot(0, 0, "x", color="black", markersize=6)
        axes.set_title(name(lambda_), fontsize=11)
        axes.set_xlabel("along ∇ log p(x)")
    grid[0].set_ylabel("along an orthogonal\nrandom direction")
    below.colorbar(ScalarMappable(Normalize(-limit, limit), COLORS), ax=grid, label="log p(x′) − log p(x)")
    return drawn


def plain(axes: Axes) -> None:
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _panel(map_set: MapSet, row: int, sample: int) -> Panel:
    return map_set.answer.panels[row * len(map_set.answer.samples.indices) + sample]


def _share(panel: Panel) -> str:
    return "undefined" if panel.leakage_share is None else f"{panel.leakage_share:.0%}"


def _prediction(data: GalleryData, panel: Numbers, label: int | None) -> str:
    """Describe the prediction of an image."""
    right = "right" if panel.predicted == label else "wrong"
    return f"“{data.class_names[panel.predicted]}” at {panel.confidence:.0%},\n{right}"


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _map(axes: Axes, values: np.ndarray, limit: float, title: str, below: str) -> None:
    _show(axes, COLORS(Normalize(-limit, limit, clip=True)(values)), title, below)


def _show(axes: Axes, pixels: np.ndarray, title: str, below: str) -> None:
    axes.imshow(pixels, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=SMALL)
    axes.set_xlabel(below, fontsize=SMALL)
    axes.spines[:].set_color("0.7")
