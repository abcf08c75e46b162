"""A view of saliency maps: the runs, the answer of the API, the display options, and the texts below each map."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from densitylab.backend.shared.contracts import Attribution, Panel
from densitylab.backend.shared.contracts import View as PanelNumbers
from densitylab.frontend.maps.render import (
    ENDS,
    Maps,
    filter_sign,
    image_pixels,
    map_pixels,
    overlay,
    pooled_limit,
)

DEFAULT_CLIP = 99.0


@dataclass(frozen=True)
class RunColumn:
    """A run's column: its label and its colour in this view."""

    run: int
    label: str
    color: str


@dataclass(frozen=True)
class Display:
    """The display options of maps; they do not change the arrays."""

    sign: str = "signed"  # one of render.SIGNS
    palette: str | None = None
    clip: float = DEFAULT_CLIP  # percentile of |map| at which the colours end
    opacity: float = 1.0  # of the map over its image
    outline: bool = True  # of the null region
    own_scale: bool = False  # one colour scale per run: strengths are not comparable between runs


@dataclass(frozen=True)
class MapView:
    """The maps of a request with their display options."""

    answer: Attribution
    maps: Maps
    columns: Sequence[RunColumn]
    class_names: Sequence[str]
    signed: bool  # whether the method gives signed maps
    method: str  # its label
    display: Display = field(default_factory=Display)

    @property
    def diverging(self) -> bool:
        return self.signed and self.display.sign == "signed"

    def limit(self, column: int = 0) -> float:
        """Return the absolute value at which the colours end; the same for all runs unless `own_scale` is set."""
        return self._limits[column]

    @cached_property
    def _limits(self) -> list[float]:
        """Limits by column."""
        count = len(self.columns)
        if not self.display.own_scale and self.display.clip == DEFAULT_CLIP:
            return [self.answer.limit or 0.0] * count
        arrays = [array for array in (self.maps.attributions, self.maps.perturbed_attributions) if array is not None]
        if self.display.own_scale:
            return [pooled_limit([array[index] for array in arrays], self.display.clip) for index in range(count)]
        return [pooled_limit(arrays, self.display.clip)] * count

    def limit_words(self) -> str:
        """Return the definition of the limit in words."""
        whose = "its run's own" if self.display.own_scale else "all their"
        return f"the {self.display.clip:g}th percentile of {whose} absolute values".replace(
            "100th percentile", "largest"
        )

    def color_meaning(self, score: str) -> str:
        """Return which colours raise the score and which lower it, as a clause."""
        if self.diverging:
            low, high = ENDS[self.display.palette or next(iter(ENDS))]
            return f"{high} raises {score}, {low} lowers it"
        if self.signed and self.display.sign in ("positive", "negative"):
            raising = self.display.sign == "positive"
            return f"brighter {'raises' if raising else 'lowers'} {score} more"
        return f"brighter has more effect on {score}, whether it raises or lowers it"

    def mask(self, sample: int) -> np.ndarray | None:
        """Return the null region to outline on the image, (1 or C, H, W)."""
        return self.maps.masks[sample] if self.display.outline and self.maps.masks is not None else None

    def panel(self, column: int, sample: int) -> Panel:
        """Return the numbers of a run's map."""
        return self.answer.panels[column * len(self.answer.samples.indices) + sample]

    def chance_text(self) -> str:
        """Return the leakage share of a map that ignores the null region: its share of the pixels, per image."""
        if self.maps.masks is None:
            return ""
        shares = self.maps.masks.reshape(len(self.maps.masks), -1).mean(axis=1)
        low, high = f"{shares.min():.0%}", f"{shares.max():.0%}"
        return low if low == high else f"{low} to {high}, by image"

    def class_name(self, label: int | None) -> str:
        """Return the name of a class; its index where the name is unknown."""
        if label is None:
            return "none"
        return self.class_names[label] if 0 <= label < len(self.class_names) else str(label)

    def title(self, sample: int) -> str:
        """Return the split and the index of the image."""
        split = self.answer.samples.split
        origin = "uploaded" if split == "upload" else split
        return f"{origin} image {self.answer.samples.indices[sample]}"

    def pixels(self, column: int, attribution: np.ndarray, image: np.ndarray) -> np.ndarray:
        """Return the pixels of a map with the display options, over its image."""
        drawn = map_pixels(
            filter_sign(attribution, self.display.sign if self.signed else "signed"),
            self.limit(column),
            signed=self.diverging,
            palette=self.display.palette,
        )
        return overlay(drawn, image_pixels(image), self.display.opacity)


def prediction_text(view: MapView, panel: PanelNumbers, label: int | None) -> str:
    """Return the predicted class with its probability and whether it is the label."""
    sign = "" if label is None else "✓ " if panel.predicted == label else "✗ "
    return f"{sign}{view.class_name(panel.predicted)} at {panel.confidence:.0%}"


def leakage_text(panel: PanelNumbers) -> str:
    """Return the leakage of a map: the L2 norm on the null region, and its share."""
    if panel.leakage is None:
        return ""
    share = "share undefined" if panel.leakage_share is None else f"{panel.leakage_share:.0%}"
    return f"leak {panel.leakage:.3g} · {share}"


def map_warning(panel: PanelNumbers) -> str:
    """Return what is wrong with a map; empty if nothing is."""
    if panel.nan:
        return "contains values that are not numbers"
    return "zero everywhere" if panel.zero else ""
