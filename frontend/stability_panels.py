"""The stability view as HTML and as a figure: what a perturbation does to images and to their maps, run by run."""

from html import escape

import numpy as np

from backend.shared.contracts import Panel
from frontend.figure import Figure, add_scale
from frontend.maps import image_pixels, map_pixels
from frontend.panels import STYLE, View, fault, figure, prediction
from frontend.words import number

MEASURES = {"cosine": "cosine", "spearman": "Spearman", "ssim": "SSIM", "top_k": "top tenth", "relative_l2":
            "relative L2", "l2": "L2"}
_HEADS = ("perturbed", "the change, magnified", "map", "map of the perturbed", "difference")


def change_limit(view: View) -> float:
    """The largest change of a pixel in any panel: the scale of the magnified changes."""
    return max((panel.perturbed.delta_linf for panel in view.answer.panels if panel.perturbed), default=0.0)


def pictures(view: View, column: int, sample: int) -> list[np.ndarray]:
    """(H, W, 3) pixels under each of the heads."""
    image, changed = view.maps.images[sample], view.maps.perturbed_images
    after = view.maps.perturbed_attributions
    if changed is None or after is None:
        raise ValueError("these maps are of no perturbation")
    before = view.maps.attributions[column, sample]
    clean = image / 255 if image.dtype == np.uint8 else image
    return [
        image_pixels(changed[column, sample]),
        map_pixels(changed[column, sample] - clean, change_limit(view), signed=True),
        view.pixels(column, before, image),
        view.pixels(column, after[column, sample], changed[column, sample]),
        view.pixels(column, after[column, sample] - before, image),
    ]


def words(view: View, panel: Panel) -> list[list[str]]:
    """Lines below each of the pictures."""
    after = panel.perturbed
    if after is None:
        raise ValueError("these maps are of no perturbation")
    density = "" if after.log_density is None or panel.log_density is None else \
        f"Δ log p {after.log_density - panel.log_density:+.3g}"
    alike = [f"{MEASURES.get(name, name)} {number(value)}" for name, value in after.similarity.items()]
    return [
        [prediction(view, after, panel.label), density],
        [f"L2 {number(after.delta_l2)}", f"L∞ {number(after.delta_linf)}"],
        [prediction(view, panel, panel.label), fault(panel) or _leak(panel.leakage)],
        [_stays(panel.predicted == after.predicted), fault(after) or _leak(after.leakage)],
        [" · ".join(alike[place:place + 2]) for place in range(0, len(alike), 2)],
    ]


def _leak(value: float | None) -> str:
    return "" if value is None else f"leak {value:.3g}"


def _stays(same: bool) -> str:
    return "same prediction" if same else "another prediction"


def html(view: View, zoom: int) -> str:
    """A card per image: a row per run, with the perturbed image, the change, both maps and their difference."""
    width = view.maps.images.shape[-1] * zoom
    cell = max(width, 176)
    cards = []
    for sample in range(len(view.answer.samples.indices)):
        label = view.panel(0, sample).label
        image = figure(image_pixels(view.maps.images[sample]), width, max(width, 104), "image", view.title(sample),
                       ["" if label is None else f"label {view.class_name(label)}"])
        rows = []
        for place, column in enumerate(view.columns):
            panel = view.panel(place, sample)
            drawn = zip(_HEADS, pictures(view, place, sample), words(view, panel), _values(view, place, sample),
                        strict=True)
            rows.append('<div class="dl-row">' + "".join(
                figure(pixels, width, cell, head if position else f"{column.label}: {head}",
                       f"{head} of {view.title(sample)} under {column.label}: {'; '.join(filter(None, lines))}", lines,
                       column.color if position == 0 else None, values=values, whose=f"{column.label}: {head}")
                for position, (head, pixels, lines, values) in enumerate(drawn)) + "</div>")
        cards.append(f'<section class="dl-card"><div class="dl-head">{escape(view.title(sample))}</div>'
                     f'<div class="dl-row">{image}<div>{"".join(rows)}</div></div></section>')
    return f'<style>{STYLE}</style><div class="dl-cards">{"".join(cards)}</div>'


def _values(view: View, column: int, sample: int) -> list[np.ndarray | None]:
    """What the pointer reads of each picture."""
    before, after = view.maps.attributions[column, sample], view.maps.perturbed_attributions
    if after is None:
        return [None] * len(_HEADS)
    return [None, None, before, after[column, sample], after[column, sample] - before]


def stability_figure(view: View, title: str) -> Figure:
    """The same for a paper: a row per image and run."""
    height, width = view.maps.images.shape[-2:]
    zoom = max(2, round(112 / height))
    cell_width, cell_height, head, left = max(width * zoom, 168) + 12, height * zoom + 46, 64, 110
    rows = [(sample, place) for sample in range(len(view.answer.samples.indices))
            for place in range(len(view.columns))]
    made = Figure(left + (1 + len(_HEADS)) * cell_width, head + len(rows) * cell_height + 54)
    made.words.append((10, 8, title, 16))
    made.words += [(left + place * cell_width, head - 22, name, 11) for place, name in enumerate(("image", *_HEADS))]
    for row, (sample, place) in enumerate(rows):
        top, panel = head + row * cell_height, view.panel(place, sample)
        made.words += [(10, top, view.title(sample), 11), (10, top + 14, view.columns[place].label, 11)]
        cells = zip([image_pixels(view.maps.images[sample]), *pictures(view, place, sample)],
                    [[], *words(view, panel)], strict=True)
        for position, (pixels, lines) in enumerate(cells):
            x = left + position * cell_width
            made.pictures.append((x, top, width * zoom, height * zoom, pixels))
            made.words += [(x, top + height * zoom + 3 + 12 * line, text, 9) for line, text in enumerate(lines)]
    add_scale(made, view, head + len(rows) * cell_height + 4)
    return made
