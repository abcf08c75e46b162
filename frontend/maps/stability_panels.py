"""The stability view as HTML and as a figure: each run's maps before and after a perturbation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from densitylab.backend.shared.contracts import Panel
from densitylab.frontend.analysis.formatting import number
from densitylab.frontend.assets import template
from densitylab.frontend.maps.paper_figure import Figure, add_scale
from densitylab.frontend.maps.picture import Picture, picture
from densitylab.frontend.maps.render import image_pixels, map_pixels
from densitylab.frontend.maps.saliency_panels import image_picture, panel_style
from densitylab.frontend.maps.view import MapView, map_warning, prediction_text

SIMILARITIES = {
    "cosine": "cosine",
    "spearman": "Spearman",
    "ssim": "SSIM",
    "top_k": "top-10 % overlap",
    "relative_l2": "relative L2",
    "l2": "L2",
}
_HEADS = ("perturbed", "perturbation (scaled)", "map", "map after", "difference")


@dataclass(frozen=True)
class _Card:
    title: str
    image: Picture
    rows: list[list[Picture]]  # one per run


def perturbation_limit(view: MapView) -> float:
    """Return the largest change of a pixel in any panel: the colour limit of the perturbations."""
    return max((panel.perturbed.delta_linf for panel in view.answer.panels if panel.perturbed), default=0.0)


def row_pixels(view: MapView, column: int, sample: int) -> list[np.ndarray]:
    """Return (H, W, 3) pixels under each of the heads."""
    image, changed = view.maps.images[sample], view.maps.perturbed_images
    after = view.maps.perturbed_attributions
    if changed is None or after is None:
        raise ValueError("these maps have no perturbation")
    before = view.maps.attributions[column, sample]
    clean = image / 255 if image.dtype == np.uint8 else image
    return [
        image_pixels(changed[column, sample]),
        map_pixels(changed[column, sample] - clean, perturbation_limit(view), signed=True),
        view.pixels(column, before, image),
        view.pixels(column, after[column, sample], changed[column, sample]),
        view.pixels(column, after[column, sample] - before, image),
    ]


def row_lines(view: MapView, panel: Panel) -> list[list[str]]:
    """Return the lines below each of the pictures."""
    after = panel.perturbed
    if after is None:
        raise ValueError("these maps have no perturbation")
    density = (
        ""
        if after.log_density is None or panel.log_density is None
        else f"Δ log p {after.log_density - panel.log_density:+.3g}"
    )
    similarity = [f"{SIMILARITIES.get(name, name)} {number(value)}" for name, value in after.similarity.items()]
    return [
        [prediction_text(view, after, panel.label), density],
        [f"L2 {number(after.delta_l2)}", f"L∞ {number(after.delta_linf)}"],
        [prediction_text(view, panel, panel.label), map_warning(panel) or _leak(panel.leakage)],
        [_prediction_change(panel.predicted == after.predicted), map_warning(after) or _leak(after.leakage)],
        [" · ".join(similarity[start : start + 2]) for start in range(0, len(similarity), 2)],
    ]


def shown_similarity(view: MapView, metric: str = "cosine") -> str:
    """Return the mean similarity of the shown maps before and after, by run, as a sentence."""
    count = len(view.answer.samples.indices)
    means = []
    for column, run in enumerate(view.columns):
        after = [view.panel(column, sample).perturbed for sample in range(count)]
        known = [value for item in after if item and (value := item.similarity.get(metric)) is not None]
        means.append(f"{number(sum(known) / len(known)) if known else 'undefined'} under {run.label}")
    images = "this image" if count == 1 else f"these {count} images"
    return f"On {images} the mean {SIMILARITIES[metric]} of the maps before and after is {', '.join(means)}."


def _leak(value: float | None) -> str:
    return "" if value is None else f"leak {value:.3g}"


def _prediction_change(same: bool) -> str:
    return "same prediction" if same else "another prediction"


def stability_html(view: MapView, zoom: int) -> str:
    """Return a card per image with a row per run: perturbed image, perturbation, both maps, and their difference."""
    width = view.maps.images.shape[-1] * zoom
    cards = []
    for sample in range(len(view.answer.samples.indices)):
        rows = [_row(view, column, sample, width) for column in range(len(view.columns))]
        cards.append(_Card(view.title(sample), image_picture(view, sample, zoom), rows))
    return template("maps/stability_panels.html.jinja").render(style=panel_style(), cards=cards)


def _row(view: MapView, column: int, sample: int, width: int) -> list[Picture]:
    run = view.columns[column]
    lines = row_lines(view, view.panel(column, sample))
    cells = zip(_HEADS, row_pixels(view, column, sample), lines, _row_values(view, column, sample), strict=True)
    return [
        picture(
            pixels,
            width=width,
            cell=max(width, 176),
            name=head if index else f"{run.label}: {head}",
            description=f"{head} of {view.title(sample)} under {run.label}: {'; '.join(filter(None, texts))}",
            lines=texts,
            color=run.color if index == 0 else None,
            mask=view.mask(sample) if values is not None else None,
            values=values,
            probe_name=f"{run.label}: {head}",
        )
        for index, (head, pixels, texts, values) in enumerate(cells)
    ]


def _row_values(view: MapView, column: int, sample: int) -> Sequence[np.ndarray | None]:
    """Return the values that the probe shows of each picture."""
    before, after = view.maps.attributions[column, sample], view.maps.perturbed_attributions
    if after is None:
        return [None] * len(_HEADS)
    return [None, None, before, after[column, sample], after[column, sample] - before]


def stability_figure(view: MapView, title: str) -> Figure:
    """Return the view as a figure for a paper: a row per image and run."""
    height, width = view.maps.images.shape[-2:]
    zoom = max(2, round(112 / height))
    cell_width, cell_height, head, left = max(width * zoom, 168) + 12, height * zoom + 46, 64, 110
    rows = [
        (sample, column) for sample in range(len(view.answer.samples.indices)) for column in range(len(view.columns))
    ]
    figure = Figure(left + (1 + len(_HEADS)) * cell_width, head + len(rows) * cell_height + 54)
    figure.texts.append((10, 8, title, 16))
    figure.texts += [(left + index * cell_width, head - 22, name, 11) for index, name in enumerate(("image", *_HEADS))]
    for row, (sample, column) in enumerate(rows):
        top, panel = head + row * cell_height, view.panel(column, sample)
        figure.texts += [(10, top, view.title(sample), 11), (10, top + 14, view.columns[column].label, 11)]
        cells = zip(
            [image_pixels(view.maps.images[sample]), *row_pixels(view, column, sample)],
            [[], *row_lines(view, panel)],
            strict=True,
        )
        for index, (pixels, lines) in enumerate(cells):
            x = left + index * cell_width
            figure.images.append((x, top, width * zoom, height * zoom, pixels))
            figure.texts += [(x, top + height * zoom + 3 + 12 * line, text, 9) for line, text in enumerate(lines)]
    add_scale(figure, view, head + len(rows) * cell_height + 4)
    return figure
