"""Saliency maps of a frozen page, each a PNG file with a caption and a link to its run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from densitylab.frontend.frozen.folder import Files
from densitylab.frontend.maps.picture import outline_url
from densitylab.frontend.maps.render import image_pixels, png, scale_pixels
from densitylab.frontend.maps.view import MapView, leakage_text, map_warning, prediction_text
from densitylab.frontend.report.evidence import Maps

_WIDTH = 132  # of a picture, in screen pixels


@dataclass(frozen=True)
class MapFigure:
    """The fields of the template's figure: a test image, or the map of a run on it."""

    file: str
    width: int  # screen pixels
    height: int
    name: str
    description: str  # for screen readers
    lines: list[str]
    wrong: bool  # the first line is a wrong prediction
    run: int | None  # None: of the image
    color: str | None
    outline: str | None  # of the null region, as a data URL


@dataclass(frozen=True)
class MapRow:
    """A test image with the maps of the runs on it."""

    title: str
    figures: list[MapFigure]


@dataclass(frozen=True)
class MapSection:
    """The maps of runs on the same data, on one colour scale, or the reason why there are none."""

    title: str
    rows: list[MapRow]
    caption: str = ""
    scale: str = ""  # file of the colour bar
    ticks: Sequence[str] = ()
    missing: str = ""
    left_out: str = ""  # the groups without maps, in a sentence

    def of_run(self, run: int) -> "MapSection":
        """Return the images and the maps of one run."""
        rows = [
            MapRow(row.title, [item for item in row.figures if item.run in (None, run)])
            for row in self.rows
            if any(item.run == run for item in row.figures)
        ]
        return MapSection(self.title, rows, self.caption, self.scale, self.ticks)


def map_section(maps: Maps, title: str, folder: str) -> tuple[MapSection, Files]:
    """Return the maps and their files.

    Args:
        maps: as the API gave them.
        title: of the section; "" where there is only one.
        folder: of the files.
    """
    view = maps.view
    if view is None:
        return MapSection(title, [], missing=maps.missing), {}
    files: Files = {}
    rows = [
        MapRow(
            _capital(view.title(sample)),
            [
                _image(view, sample, folder, files),
                *(_map(view, column, sample, folder, files) for column in range(len(view.columns))),
            ],
        )
        for sample in range(len(view.answer.samples.indices))
    ]
    scale, limit = f"{folder}/scale.png", f"{view.limit():.3g}"
    files[scale] = png(scale_pixels(256, 12, signed=view.diverging))
    images = ", ".join(map(str, view.answer.samples.indices))
    chance = view.chance_text()
    caption = (
        f"{view.method} on {view.answer.samples.split} images {images}; target: the label. One colour scale for all "
        f"maps, which ends at {limit}: {view.limit_words()}. {_capital(view.color_meaning('the score of the label'))}."
        + (f" Dashed: null region; a map that ignores it has a leakage share of {chance}." if chance else "")
    )
    ticks = [f"−{limit}", "0", limit] if view.diverging else ["0", limit]
    return MapSection(title, rows, caption, scale, ticks, left_out=maps.left_out), files


def _image(view: MapView, sample: int, folder: str, files: Files) -> MapFigure:
    label = view.panel(0, sample).label
    lines = [] if label is None else [f"label {view.class_name(label)}"]
    file = f"{folder}/image-{view.answer.samples.indices[sample]}.png"
    pixels = image_pixels(view.maps.images[sample])
    return _figure(view, sample, file, pixels, files, name="image", description=view.title(sample), lines=lines)


def _map(view: MapView, column: int, sample: int, folder: str, files: Files) -> MapFigure:
    run, panel = view.columns[column], view.panel(column, sample)
    lines = [prediction_text(view, panel, panel.label), leakage_text(panel), map_warning(panel)]
    return _figure(
        view,
        sample,
        f"{folder}/run-{run.run}-image-{panel.index}.png",
        view.pixels(column, view.maps.attributions[column, sample], view.maps.images[sample]),
        files,
        name=run.label,
        description=f"{view.method} of {run.label} on {view.title(sample)}: {'; '.join(filter(None, lines))}",
        lines=lines,
        wrong=panel.label is not None and panel.predicted != panel.label,
        run=run.run,
        color=run.color,
    )


def _figure(
    view: MapView,
    sample: int,
    file: str,
    pixels: np.ndarray,
    files: Files,
    *,
    name: str,
    description: str,
    lines: Sequence[str],
    wrong: bool = False,
    run: int | None = None,
    color: str | None = None,
) -> MapFigure:
    """Return the figure and add its file."""
    files[file] = png(pixels)
    mask = view.mask(sample)
    height, width = pixels.shape[:2]
    return MapFigure(
        file,
        _WIDTH,
        round(_WIDTH * height / width),
        name,
        description,
        [line for line in lines if line],
        wrong,
        run,
        color,
        None if mask is None else outline_url(mask),
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
