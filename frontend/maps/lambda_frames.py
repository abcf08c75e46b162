"""One image under each run of a method, in order of λ: what the λ slider shows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from densitylab.backend.shared.contracts import View as PanelNumbers
from densitylab.frontend.analysis.formatting import number
from densitylab.frontend.maps.picture import outline_url
from densitylab.frontend.maps.render import data_url, image_pixels, map_pixels, pooled_limit
from densitylab.frontend.maps.view import MapView, leakage_text, map_warning, prediction_text

HEADS = ("image", "gradient of the logit", "∇ log p(x)", "attacked image", "its gradient")
_CLIP = 99.0  # percentile of the absolute values at which the colours end


@dataclass(frozen=True)
class Shown:
    """A picture of a frame: its pixels as a URL, and the lines below it."""

    url: str
    lines: list[str]
    wrong: bool = False  # the first line is a wrong prediction


@dataclass(frozen=True)
class Frame:
    """The pictures of one run, one for each of HEADS."""

    label: str  # λ
    run: int
    results: str
    pictures: list[Shown]

    def as_json(self) -> dict[str, Any]:
        """Return what the slider's script reads."""
        return asdict(self)


def frames(gradient: Sequence[MapView], density: Sequence[MapView], results: Sequence[str]) -> list[Frame]:
    """Return the frames of all runs; maps of a kind have one colour scale over all of them.

    Args:
        gradient: maps of the true logit on the image and on the attacked one, of up to six runs each.
        density: maps of log p(x), of the same runs.
        results: by run, the results to read beside its maps.
    """
    limit = pooled_limit([array for view in gradient for array in _both(view)], _CLIP)
    density_limit = pooled_limit([view.maps.attributions for view in density], _CLIP)
    shown: list[Frame] = []
    for logit, log_p in zip(gradient, density, strict=True):
        for column, run in enumerate(logit.columns):
            pictures = _pictures(logit, log_p, column, limit, density_limit)
            shown.append(Frame(run.label, run.run, results[len(shown)], pictures))
    return shown


def mask_url(view: MapView) -> str | None:
    """Return the outline of the image's null region as an SVG; None without one."""
    return None if view.maps.masks is None else outline_url(view.maps.masks[0])


def _both(view: MapView) -> list[Any]:
    return [array for array in (view.maps.attributions, view.maps.perturbed_attributions) if array is not None]


def _pictures(logit: MapView, log_p: MapView, column: int, limit: float, density_limit: float) -> list[Shown]:
    panel, density = logit.panel(column, 0), log_p.panel(column, 0)
    changed, after = logit.maps.perturbed_images, logit.maps.perturbed_attributions
    if changed is None or after is None or panel.perturbed is None:
        raise ValueError("these maps have no attacked image")
    attacked = panel.perturbed
    cosine = attacked.similarity.get("cosine")
    return [
        Shown(data_url(image_pixels(logit.maps.images[0])), [f"label {logit.class_name(panel.label)}"]),
        _map(
            logit.maps.attributions[column, 0],
            limit,
            panel,
            [prediction_text(logit, panel, panel.label)],
            wrong=panel.predicted != panel.label,
        ),
        _map(
            log_p.maps.attributions[column, 0],
            density_limit,
            density,
            ["" if density.log_density is None else f"log p {density.log_density:.3g}"],
        ),
        Shown(
            data_url(image_pixels(changed[column, 0])),
            [prediction_text(logit, attacked, panel.label), f"L∞ {number(attacked.delta_linf)}"],
            wrong=attacked.predicted != panel.label,
        ),
        _map(after[column, 0], limit, attacked, [f"cosine to the map before {number(cosine)}"]),
    ]


def _map(attribution: Any, limit: float, panel: PanelNumbers, lines: list[str], *, wrong: bool = False) -> Shown:
    pixels = map_pixels(attribution, limit, signed=True)
    below = [*lines, map_warning(panel) or leakage_text(panel)]
    return Shown(data_url(pixels), [line for line in below if line], wrong)
