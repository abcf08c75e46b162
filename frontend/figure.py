"""A view as one figure fit for a paper: laid out once, written as PNG or as SVG with its words as words."""

import base64
import io
from dataclasses import dataclass, field
from html import escape

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from frontend.maps import image_pixels, mask_pixels, outline, png, scale_pixels
from frontend.panels import View, fault, leakage, prediction

# The bundled font of the PNG has no Greek and no mathematics
_SPELLED = str.maketrans({"λ": "lambda", "∇": "grad ", "‖": "|", "✓": "right", "✗": "wrong", "·": ";", "ₓ": "x",
                          "−": "-"})
_LEFT, _SIZE, _LINE = 110, 11, 13


@dataclass
class Figure:
    """Pictures and words at their places, in pixels from the upper left."""

    width: int
    height: int
    pictures: list[tuple[int, int, int, int, np.ndarray]] = field(default_factory=list)  # x, y, width, height, pixels
    words: list[tuple[int, int, str, int]] = field(default_factory=list)  # x, y of the upper left, text, size
    lines: list[tuple[float, float, float, float]] = field(default_factory=list)  # x0, y0, x1, y1

    def png(self) -> bytes:
        canvas = Image.new("RGB", (self.width, self.height), "white")
        draw = ImageDraw.Draw(canvas)
        for x, y, width, height, pixels in self.pictures:
            canvas.paste(Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST), (x, y))
            draw.rectangle((x - 1, y - 1, x + width, y + height), outline=(150, 150, 150))
        for line in self.lines:
            draw.line(line, fill=(17, 17, 17))
        for x, y, text, size in self.words:
            draw.text((x, y), text.translate(_SPELLED), font=ImageFont.load_default(size=size), fill="black")
        file = io.BytesIO()
        canvas.save(file, format="PNG", optimize=True)
        return file.getvalue()

    def svg(self) -> bytes:
        parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}"'
                 f' width="{self.width}" height="{self.height}" font-family="Helvetica, Arial, sans-serif">']
        for x, y, width, height, pixels in self.pictures:
            content = base64.b64encode(png(pixels)).decode()
            parts.append(
                f'<image x="{x}" y="{y}" width="{width}" height="{height}" preserveAspectRatio="none"'
                f' style="image-rendering:pixelated" href="data:image/png;base64,{content}"/>'
                f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="none" stroke="#969696"/>')
        parts += [f'<path d="M{x0:g} {y0:g}L{x1:g} {y1:g}" stroke="#111"/>' for x0, y0, x1, y1 in self.lines]
        parts += [f'<text x="{x}" y="{y + size}" font-size="{size}">{escape(text)}</text>'
                  for x, y, text, size in self.words]
        return "".join([*parts, "</svg>"]).encode()


def saliency_figure(view: View, title: str) -> Figure:
    """A row per image, a column per run, the scale below."""
    height, width = view.maps.images.shape[-2:]
    zoom = max(2, round(112 / height))
    cell_width, cell_height, head, foot = max(width * zoom, 120) + 12, height * zoom + 50, 64, 54
    names = ["image", *(["null part"] if view.maps.masks is not None else []),
             *(column.label for column in view.columns)]
    samples = len(view.answer.samples.indices)
    made = Figure(_LEFT + len(names) * cell_width, head + samples * cell_height + foot)
    made.words.append((10, 8, title, 16))
    made.words += [(_LEFT + place * cell_width, head - 22, name, _SIZE) for place, name in enumerate(names)]
    for sample in range(samples):
        top = head + sample * cell_height
        image, mask = view.maps.images[sample], None if view.maps.masks is None else view.maps.masks[sample]
        label = view.panel(0, sample).label
        made.words.append((10, top, view.title(sample), _SIZE))
        if label is not None:
            made.words.append((10, top + 14, f"label {view.class_name(label)}", _SIZE))
        cells: list[tuple[np.ndarray, list[str]]] = [(image_pixels(image), [])]
        if mask is not None:
            cells.append((mask_pixels(mask), []))
        for place in range(len(view.columns)):
            panel = view.panel(place, sample)
            cells.append((view.pixels(place, view.maps.attributions[place, sample], image),
                          [prediction(view, panel, panel.label), fault(panel) or leakage(panel)]))
        for place, (pixels, words) in enumerate(cells):
            left = _LEFT + place * cell_width
            made.pictures.append((left, top, width * zoom, height * zoom, pixels))
            if view.display.outline and mask is not None and place > 1:
                made.lines += [(left + zoom * x0, top + zoom * y0, left + zoom * x1, top + zoom * y1)
                               for x0, y0, x1, y1 in outline(mask)]
            made.words += [(left, top + height * zoom + 3 + _LINE * line, word, _SIZE)
                           for line, word in enumerate(words)]
    add_scale(made, view, head + samples * cell_height + 4)
    return made


def add_scale(made: Figure, view: View, top: int) -> None:
    """The colour bar with its ends in numbers."""
    made.pictures.append((_LEFT, top, 256, 12, scale_pixels(256, 12, signed=view.diverging,
                                                            palette=view.display.palette)))
    end = "limit" if view.display.own_scale else f"{view.limit():.3g}"
    made.words += [(_LEFT, top + 15, f"−{end}" if view.diverging else "0", _SIZE), (_LEFT + 230, top + 15, end, _SIZE)]
    which = "each run on its own scale" if view.display.own_scale else "one scale for all maps"
    made.words.append((_LEFT + 275, top, f"{which}: {view.limit_words()}; beyond it clipped", _SIZE))
