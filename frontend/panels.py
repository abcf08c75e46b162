"""The saliency view as HTML: a card per image, a column per run, all on one colour scale. No Streamlit in here."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape

import numpy as np

from backend.shared.contracts import Attribution, Panel
from backend.shared.contracts import View as Numbers
from frontend.maps import (
    Maps,
    data_url,
    image_pixels,
    map_pixels,
    mask_pixels,
    of_sign,
    outline,
    over,
    pooled_limit,
    scale_pixels,
    values_url,
)

CHANCE = 0.5  # share of a map on the null half if it lay anywhere
USUAL_CLIP = 99.0


@dataclass(frozen=True)
class RunColumn:
    """One run's column: its name in this view, its colour, its link."""

    run: int
    label: str
    color: str


@dataclass(frozen=True)
class Display:
    """How maps are drawn; what they are is not touched."""

    sign: str = "signed"  # see maps.SIGNS
    palette: str | None = None
    clip: float = USUAL_CLIP  # percentile of |map| at which the colours end
    opacity: float = 1.0  # of the map over its image
    outline: bool = False  # of the null part
    own_scale: bool = False  # each run its own colour scale: their strengths cannot be compared


@dataclass(frozen=True)
class View:
    """All that the view shows."""

    answer: Attribution
    maps: Maps
    columns: Sequence[RunColumn]
    class_names: Sequence[str]
    signed: bool  # whether the method's maps have signs
    method: str  # in words
    display: Display = field(default_factory=Display)

    @property
    def diverging(self) -> bool:
        return self.signed and self.display.sign == "signed"

    def limit(self, column: int = 0) -> float:
        """The largest absolute value that the colours tell apart; the same in every panel, unless each run has its
        own scale."""
        return self._limits[column]

    @cached_property
    def _limits(self) -> list[float]:
        """Of each column."""
        count = len(self.columns)
        if not self.display.own_scale and self.display.clip == USUAL_CLIP:
            return [self.answer.limit or 0.0] * count
        arrays = [array for array in (self.maps.attributions, self.maps.perturbed_attributions) if array is not None]
        if self.display.own_scale:
            return [pooled_limit([array[place] for array in arrays], self.display.clip) for place in range(count)]
        return [pooled_limit(arrays, self.display.clip)] * count

    def limit_words(self) -> str:
        whose = "its run's own" if self.display.own_scale else "all their"
        return f"the {self.display.clip:g}th percentile of {whose} absolute values".replace("100th percentile",
                                                                                           "largest")

    def panel(self, column: int, sample: int) -> Panel:
        return self.answer.panels[column * len(self.answer.samples.indices) + sample]

    def class_name(self, label: int | None) -> str:
        if label is None:
            return "none"
        return self.class_names[label] if 0 <= label < len(self.class_names) else str(label)

    def title(self, sample: int) -> str:
        """Which image it is."""
        split = self.answer.samples.split
        what = "uploaded" if split == "upload" else split
        return f"{what} image {self.answer.samples.indices[sample]}"

    def pixels(self, column: int, attribution: np.ndarray, image: np.ndarray) -> np.ndarray:
        """A map of the column's run as it is drawn, over its image."""
        drawn = map_pixels(of_sign(attribution, self.display.sign if self.signed else "signed"), self.limit(column),
                           signed=self.diverging, palette=self.display.palette)
        return over(drawn, image_pixels(image), self.display.opacity)


def prediction(view: View, panel: Numbers, label: int | None) -> str:
    sign = "" if label is None else "✓ " if panel.predicted == label else "✗ "
    return f"{sign}{view.class_name(panel.predicted)} at {panel.confidence:.0%}"


def leakage(panel: Numbers) -> str:
    """The image's leakage under this map: L2 on the null part, and its share of the whole."""
    if panel.leakage is None:
        return ""
    share = "share undefined" if panel.leakage_share is None else f"{panel.leakage_share:.0%}"
    return f"leak {panel.leakage:.3g} · {share}"


def fault(panel: Numbers) -> str:
    """What is wrong with a map, in words."""
    if panel.nan:
        return "holds values that are not numbers"
    return "zero everywhere" if panel.zero else ""


def html(view: View, zoom: int, *, only: int | None = None, pinned: int | None = None, probe: bool = False) -> str:
    """Cards, one per image: the image, the mask, one map per run.

    Args:
        view: what to show.
        zoom: screen pixels per image pixel.
        only: the one column to show; None: all.
        pinned: the index of the image that stays.
        probe: whether the maps carry their values, for the one under the pointer.
    """
    width = view.maps.images.shape[-1]
    cell = max(width * zoom, 104)
    places = range(len(view.columns)) if only is None else [only]
    cards = []
    for sample, index in enumerate(view.answer.samples.indices):
        image = view.maps.images[sample]
        panels = [view.panel(place, sample) for place in places]
        label = panels[0].label
        figures = [figure(image_pixels(image), width * zoom, cell, "image",
                          f"{view.title(sample)}, labelled {view.class_name(label)}",
                          ["" if label is None else f"label {view.class_name(label)}"])]
        mask = None if view.maps.masks is None else view.maps.masks[sample]
        if mask is not None:
            figures.append(figure(mask_pixels(mask), width * zoom, cell, "null part",
                                  f"the null part of image {index}", ["says nothing", "about the label"]))
        for place, panel in zip(places, panels, strict=True):
            column = view.columns[place]
            attribution = view.maps.attributions[place, sample]
            words = [prediction(view, panel, panel.label), leakage(panel), fault(panel)]
            described = f"{view.method} of {column.label} on image {index}: {'; '.join(filter(None, words))}"
            figures.append(figure(
                view.pixels(place, attribution, image), width * zoom, cell, column.label, described, words,
                column.color, wrong=panel.label is not None and panel.predicted != panel.label,
                mask=mask if view.display.outline else None, values=attribution if probe else None,
            ))
        pin = " · pinned" if index == pinned else ""
        cards.append(f'<section class="dl-card"><div class="dl-head">{escape(view.title(sample))}{pin}</div>'
                     f'<div class="dl-row">{"".join(figures)}</div></section>')
    return f'<style>{STYLE}</style><div class="dl-cards">{"".join(cards)}</div>'


def figure(
    pixels: np.ndarray, width: int, cell: int, head: str, described: str, words: Sequence[str],
    color: str | None = None, *, wrong: bool = False, mask: np.ndarray | None = None,
    values: np.ndarray | None = None, whose: str | None = None,
) -> str:
    """A picture with its name above and its numbers below; `whose` says beside the values what `head` alone leaves
    open."""
    dot = f'<span class="dl-dot" style="background:{color}"></span>' if color else ""
    lines = "".join(
        f'<div class="{"dl-wrong" if wrong and place == 0 else ""}">{escape(word)}</div>'
        for place, word in enumerate(words) if word
    )
    probe = ""
    if values is not None:
        content, unit = values_url(values)
        probe = f' data-values="{content}" data-unit="{unit!r}" data-name="{escape(whose or head)}"'
    edge = "" if mask is None else f'<img class="dl-outline" src="{_outline_url(mask)}" width="{width}" alt="">'
    height = round(width * pixels.shape[0] / pixels.shape[1])
    return (f'<figure style="width:{cell}px"><div class="dl-name">{dot}{escape(head)}</div>'
            f'<div class="dl-picture"><img src="{data_url(pixels)}" width="{width}" height="{height}"'
            f' alt="{escape(described)}" title="{escape(described)}"{probe}>{edge}</div>'
            f"<figcaption>{lines}</figcaption></figure>")


def outline_path(mask: np.ndarray) -> str:
    """The mask's edges as the path of an SVG, in image pixels."""
    return "".join(f"M{x0} {y0}L{x1} {y1}" for x0, y0, x1, y1 in outline(mask))


def _outline_url(mask: np.ndarray) -> str:
    height, width = mask.shape[-2:]
    drawn = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><path d="{outline_path(mask)}"'
             ' fill="none" stroke="#111" stroke-width="0.5" stroke-dasharray="1.6 1"/></svg>')
    return "data:image/svg+xml;base64," + base64.b64encode(drawn.encode()).decode()


def scale_html(view: View) -> str:
    """The one colour bar of all maps."""
    ends = ("0", "", "limit") if view.display.own_scale else ("0", "", f"{view.limit():.3g}")
    if view.diverging:
        ends = (f"−{ends[2]}", "0", f"+{ends[2]}")
    ticks = "".join(f"<span>{end}</span>" for end in ends)
    bar = data_url(scale_pixels(256, 12, signed=view.diverging, palette=view.display.palette))
    return (f'<style>{STYLE}</style><div class="dl-scale"><img src="{bar}"'
            f' alt="colour scale from {ends[0]} to {ends[2]}" height="12">'
            f'<div class="dl-ticks">{ticks}</div></div>')


STYLE = """
.dl-cards { display: flex; flex-wrap: wrap; gap: 14px; }
.dl-card { border: 1px solid rgba(128,128,128,.3); border-radius: 6px; padding: 8px 12px; overflow-x: auto; }
.dl-head { font-weight: 600; margin-bottom: 4px; }
.dl-row { display: flex; gap: 10px; }
.dl-row figure { margin: 0; font-size: .8rem; line-height: 1.3; }
.dl-row img { image-rendering: pixelated; border: 1px solid rgba(128,128,128,.4); display: block; }
.dl-picture { position: relative; }
.dl-row .dl-outline { position: absolute; left: 0; top: 0; pointer-events: none; }
.dl-name { min-height: 2.2em; display: flex; align-items: flex-end; padding-bottom: 3px; }
.dl-dot { width: 10px; height: 10px; min-width: 10px; border-radius: 50%; margin: 0 5px 3px 0; }
.dl-row figcaption { padding-top: 3px; font-variant-numeric: tabular-nums; }
.dl-wrong { font-weight: 700; text-decoration: underline; }
.dl-scale { max-width: 320px; }
.dl-scale img { width: 100%; }
.dl-ticks { display: flex; justify-content: space-between; font-size: .8rem; font-variant-numeric: tabular-nums; }
"""
