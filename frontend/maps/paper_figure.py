"""A view as a figure for a paper, written as PNG or as SVG with real text."""

import base64
import io
from dataclasses import dataclass, field
from html import escape

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from densitylab.frontend.maps.render import image_pixels, mask_pixels, outline, png, scale_pixels
from densitylab.frontend.maps.view import MapView, leakage_text, map_warning, prediction_text

# Pillow's font has no Greek and no mathematical symbols
_SPELLED = str.maketrans(
    {"λ": "lambda", "∇": "grad ", "‖": "|", "✓": "right", "✗": "wrong", "·": ";", "ₓ": "x", "−": "-"}
)
_LEFT, _SIZE, _LINE = 110, 11, 13


@dataclass
class Figure:
    """Images, texts and lines with their positions, in pixels from the upper left corner."""

    width: int
    height: int
    images: list[tuple[int, int, int, int, np.ndarray]] = field(default_factory=list)  # x, y, width, height, pixels
    texts: list[tuple[int, int, str, int]] = field(default_factory=list)  # x, y of the upper left, text, size
    lines: list[tuple[float, float, float, float]] = field(default_factory=list)  # x0, y0, x1, y1

    def png(self) -> bytes:
        canvas = Image.new("RGB", (self.width, self.height), "white")
        draw = ImageDraw.Draw(canvas)
        for x, y, width, height, pixels in self.images:
            canvas.paste(Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST), (x, y))
            draw.rectangle((x - 1, y - 1, x + width, y + height), outline=(150, 150, 150))
        for line in self.lines:
            draw.line(line, fill=(17, 17, 17))
        for x, y, text, size in self.texts:
            draw.text((x, y), text.translate(_SPELLED), font=ImageFont.load_default(size=size), fill="black")
        file = io.BytesIO()
        canvas.save(file, format="PNG", optimize=True)
        return file.getvalue()

    def svg(self) -> bytes:
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}"'
            f' width="{self.width}" height="{self.height}" font-family="Helvetica, Arial, sans-serif">'
        ]
        for x, y, width, height, pixels in self.images:
            content = base64.b64encode(png(pixels)).decode()
            parts.append(
                f'<image x="{x}" y="{y}" width="{width}" height="{height}" preserveAspectRatio="none"'
                f' style="image-rendering:pixelated" href="data:image/png;base64,{content}"/>'
                f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="none" stroke="#969696"/>'
            )
        parts += [f'<path d="M{x0:g} {y0:g}L{x1:g} {y1:g}" stroke="#111"/>' for x0, y0, x1, y1 in self.lines]
        parts += [
            f'<text x="{x}" y="{y + size}" font-size="{size}">{escape(text)}</text>' for x, y, text, size in self.texts
        ]
        return "".join([*parts, "</svg>"]).encode()


def saliency_figure(view: MapView, title: str) -> Figure:
    """Return a row per image and a column per run, with the scale below."""
    height, width = view.maps.images.shape[-2:]
    zoom = max(2, round(112 / height))
    cell_width, cell_height, head, foot = max(width * zoom, 120) + 12, height * zoom + 50, 64, 54
    names = [
        "image",
        *(["null region"] if view.maps.masks is not None else []),
        *(column.label for column in view.columns),
    ]
    samples = len(view.answer.samples.indices)
    figure = Figure(_LEFT + len(names) * cell_width, head + samples * cell_height + foot)
    figure.texts.append((10, 8, title, 16))
    figure.texts += [(_LEFT + index * cell_width, head - 22, name, _SIZE) for index, name in enumerate(names)]
    for sample in range(samples):
        top = head + sample * cell_height
        image, mask = view.maps.images[sample], None if view.maps.masks is None else view.maps.masks[sample]
        label = view.panel(0, sample).label
        figure.texts.append((10, top, view.title(sample), _SIZE))
        if label is not None:
            figure.texts.append((10, top + 14, f"label {view.class_name(label)}", _SIZE))
        cells: list[tuple[np.ndarray, list[str]]] = [(image_pixels(image), [])]
        if mask is not None:
            cells.append((mask_pixels(mask), []))
        for column in range(len(view.columns)):
            panel = view.panel(column, sample)
            cells.append(
                (
                    view.pixels(column, view.maps.attributions[column, sample], image),
                    [prediction_text(view, panel, panel.label), map_warning(panel) or leakage_text(panel)],
                )
            )
        for index, (pixels, lines) in enumerate(cells):
            left = _LEFT + index * cell_width
            figure.images.append((left, top, width * zoom, height * zoom, pixels))
            if view.display.outline and mask is not None and index > 1:
                figure.lines += [
                    (left + zoom * x0, top + zoom * y0, left + zoom * x1, top + zoom * y1)
                    for x0, y0, x1, y1 in outline(mask)
                ]
            figure.texts += [
                (left, top + height * zoom + 3 + _LINE * line, text, _SIZE) for line, text in enumerate(lines)
            ]
    add_scale(figure, view, head + samples * cell_height + 4)
    return figure


def add_scale(figure: Figure, view: MapView, top: int) -> None:
    """Add the colour bar with its limits."""
    figure.images.append(
        (_LEFT, top, 256, 12, scale_pixels(256, 12, signed=view.diverging, palette=view.display.palette))
    )
    end = "limit" if view.display.own_scale else f"{view.limit():.3g}"
    figure.texts += [
        (_LEFT, top + 15, f"−{end}" if view.diverging else "0", _SIZE),
        (_LEFT + 230, top + 15, end, _SIZE),
    ]
    scope = "one scale per run" if view.display.own_scale else "one scale for all maps"
    figure.texts.append((_LEFT + 275, top, f"{scope}: {view.limit_words()}; larger values clipped", _SIZE))
