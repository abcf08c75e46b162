"""The saliency view as HTML and as one PNG figure: the same panels in both."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from backend.shared.contracts import Attribution, Panel
from frontend.maps import Maps, data_url, image_pixels, map_pixels, mask_pixels, scale_pixels

CHANCE = 0.5  # share of a map on the null half if it lay anywhere
# The bundled font of the figure has no Greek and no mathematics
_SPELLED = str.maketrans({"λ": "lambda", "∇": "grad ", "‖": "|", "✓": "right", "✗": "wrong", "·": ";", "ₓ": "x"})


@dataclass(frozen=True)
class RunColumn:
    """One run's column: its name in this view, its colour, its link."""

    run: int
    label: str
    color: str


@dataclass(frozen=True)
class View:
    """All that the view shows."""

    answer: Attribution
    maps: Maps
    columns: Sequence[RunColumn]
    class_names: Sequence[str]
    signed: bool
    method: str  # in words
    contrast: int = 1

    @property
    def limit(self) -> float:
        """The largest absolute value that the colours tell apart; the same in every panel."""
        return (self.answer.limit or 0.0) / self.contrast

    def limit_words(self) -> str:
        part = "" if self.contrast == 1 else f"1/{self.contrast} of "
        return f"{part}the 99th percentile of all their absolute values"

    def panel(self, column: int, sample: int) -> Panel:
        return self.answer.panels[column * len(self.answer.samples.indices) + sample]

    def class_name(self, label: int) -> str:
        return self.class_names[label] if 0 <= label < len(self.class_names) else str(label)


def prediction(view: View, panel: Panel) -> str:
    sign = "✓" if panel.predicted == panel.label else "✗"
    return f"{sign} {view.class_name(panel.predicted)} at {panel.confidence:.0%}"


def leakage(panel: Panel) -> str:
    """The image's leakage under this map: L2 on the null part, and its share of the whole."""
    if panel.leakage is None:
        return ""
    share = "share undefined" if panel.leakage_share is None else f"{panel.leakage_share:.0%}"
    return f"leak {panel.leakage:.3g} · {share}"


def fault(panel: Panel) -> str:
    """What is wrong with a map, in words."""
    if panel.nan:
        return "holds values that are not numbers"
    return "zero everywhere" if panel.zero else ""


def html(view: View, zoom: int) -> str:
    """Cards, one per image: the image, the mask, one map per run."""
    width = view.maps.images.shape[-1]
    cell = max(width * zoom, 104)
    cards = []
    for sample, index in enumerate(view.answer.samples.indices):
        label = view.class_name(int(view.maps.labels[sample]))
        split = view.answer.samples.split
        figures = [_figure(image_pixels(view.maps.images[sample]), width * zoom, cell, "image",
                           f"{split} image {index}, labelled {label}", [f"label {label}"])]
        if view.maps.masks is not None:
            figures.append(_figure(mask_pixels(view.maps.masks[sample]), width * zoom, cell, "null part",
                                   f"the null part of image {index}", ["says nothing", "about the label"]))
        for place, column in enumerate(view.columns):
            panel = view.panel(place, sample)
            pixels = map_pixels(view.maps.attributions[place, sample], view.limit, signed=view.signed)
            words = [prediction(view, panel), leakage(panel), fault(panel)]
            described = f"{view.method} of {column.label} on image {index}: {'; '.join(filter(None, words))}"
            figures.append(_figure(pixels, width * zoom, cell, column.label, described, words, column.color,
                                   wrong=panel.predicted != panel.label))
        cards.append(f'<section class="dl-card"><div class="dl-head">{escape(split)} image {index}</div>'
                     f'<div class="dl-row">{"".join(figures)}</div></section>')
    return f'<style>{_STYLE}</style><div class="dl-cards">{"".join(cards)}</div>'


def _figure(
    pixels: np.ndarray, width: int, cell: int, head: str, described: str, words: Sequence[str],
    color: str | None = None, *, wrong: bool = False,
) -> str:
    dot = f'<span class="dl-dot" style="background:{color}"></span>' if color else ""
    lines = "".join(
        f'<div class="{"dl-wrong" if wrong and place == 0 else ""}">{escape(word)}</div>'
        for place, word in enumerate(words) if word
    )
    return (f'<figure style="width:{cell}px"><div class="dl-name">{dot}{escape(head)}</div>'
            f'<img src="{data_url(pixels)}" width="{width}" alt="{escape(described)}" title="{escape(described)}">'
            f"<figcaption>{lines}</figcaption></figure>")


def scale_html(view: View) -> str:
    """The one colour bar of all maps."""
    ends = (f"−{view.limit:.3g}", "0", f"+{view.limit:.3g}") if view.signed else ("0", "", f"{view.limit:.3g}")
    ticks = "".join(f"<span>{end}</span>" for end in ends)
    bar = data_url(scale_pixels(256, 12, signed=view.signed))
    return (f'<style>{_STYLE}</style><div class="dl-scale"><img src="{bar}"'
            f' alt="colour scale from {ends[0]} to {ends[2]}" width="320" height="12">'
            f'<div class="dl-ticks">{ticks}</div></div>')


_STYLE = """
.dl-cards { display: flex; flex-wrap: wrap; gap: 14px; }
.dl-card { border: 1px solid rgba(128,128,128,.3); border-radius: 6px; padding: 8px 12px; }
.dl-head { font-weight: 600; margin-bottom: 4px; }
.dl-row { display: flex; gap: 10px; }
.dl-row figure { margin: 0; font-size: .8rem; line-height: 1.3; }
.dl-row img { image-rendering: pixelated; border: 1px solid rgba(128,128,128,.4); display: block; }
.dl-name { min-height: 2.2em; display: flex; align-items: flex-end; padding-bottom: 3px; }
.dl-dot { width: 10px; height: 10px; min-width: 10px; border-radius: 50%; margin: 0 5px 3px 0; }
.dl-row figcaption { padding-top: 3px; font-variant-numeric: tabular-nums; }
.dl-wrong { font-weight: 700; text-decoration: underline; }
.dl-scale { width: 320px; }
.dl-ticks { display: flex; justify-content: space-between; font-size: .8rem; font-variant-numeric: tabular-nums; }
"""


def figure_png(view: View, title: str) -> bytes:
    """The whole view as one picture: a row per image, a column per run, the scale below."""
    height, width = view.maps.images.shape[-2:]
    zoom = max(2, round(112 / height))
    cell_width, cell_height, head, foot = max(width * zoom, 120) + 12, height * zoom + 50, 64, 54
    masks = view.maps.masks is not None
    names = ["image", *(["null part"] if masks else []), *(column.label for column in view.columns)]
    samples = view.answer.samples.indices
    size = (110 + len(names) * cell_width, head + len(samples) * cell_height + foot)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    big, small = ImageFont.load_default(size=16), ImageFont.load_default(size=11)

    def write(x: int, y: int, words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont = small) -> None:
        draw.text((x, y), words.translate(_SPELLED), font=font, fill="black")

    write(10, 8, title, big)
    for place, name in enumerate(names):
        write(110 + place * cell_width, head - 22, name)
    for sample, index in enumerate(samples):
        top = head + sample * cell_height
        write(10, top, f"{view.answer.samples.split} {index}")
        write(10, top + 14, f"label {view.class_name(int(view.maps.labels[sample]))}")
        pictures: list[tuple[np.ndarray, list[str]]] = [(image_pixels(view.maps.images[sample]), [])]
        if view.maps.masks is not None:
            pictures.append((mask_pixels(view.maps.masks[sample]), []))
        for place in range(len(view.columns)):
            panel = view.panel(place, sample)
            pixels = map_pixels(view.maps.attributions[place, sample], view.limit, signed=view.signed)
            pictures.append((pixels, [prediction(view, panel), fault(panel) or leakage(panel)]))
        for place, (pixels, words) in enumerate(pictures):
            left = 110 + place * cell_width
            picture = Image.fromarray(pixels).resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
            canvas.paste(picture, (left, top))
            draw.rectangle((left - 1, top - 1, left + width * zoom, top + height * zoom), outline=(150, 150, 150))
            for line, word in enumerate(words):
                write(left, top + height * zoom + 3 + 13 * line, word)
    bottom = head + len(samples) * cell_height + 4
    canvas.paste(Image.fromarray(scale_pixels(256, 12, signed=view.signed)), (110, bottom))
    write(110, bottom + 15, f"{'-' if view.signed else ''}{view.limit if view.signed else 0:.3g}")
    write(110 + 230, bottom + 15, f"{view.limit:.3g}")
    write(110 + 275, bottom, f"one scale for all maps: {view.limit_words()}; beyond it clipped")
    file = io.BytesIO()
    canvas.save(file, format="PNG", optimize=True)
    return file.getvalue()
