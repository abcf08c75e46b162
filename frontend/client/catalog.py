"""The catalog as the API gives it. The page draws its forms from it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import RootModel

from densitylab.backend.shared.contracts import CatalogEntry, CatalogMetric
from densitylab.backend.shared.statistics.bounds import Bounds, bounds_of


class Catalog(RootModel[dict[str, list[CatalogEntry]]]):
    """Every choice on offer, by kind."""

    def entries(self, kind: str) -> list[CatalogEntry]:
        return self.root.get(kind, [])

    def entry(self, kind: str, key: str) -> CatalogEntry | None:
        """Return an entry; None if the catalog no longer has it, which can happen for an old run."""
        return next((entry for entry in self.entries(kind) if entry.key == key), None)

    def image_size(self, dataset: str, params: Mapping[str, Any]) -> Sequence[int] | None:
        """Return (height, width) of the images that a data set has with these parameters; None where not known."""
        entry = self.entry("dataset", dataset)
        if entry is None:
            return None
        side = params.get(entry.sized_by) if entry.sized_by else None
        return entry.image_size if side is None else (side, side)

    def metric(self, evaluation: str, name: str) -> CatalogMetric | None:
        """Return a number of an evaluation; None where the catalog has no label for it."""
        entry = self.entry("evaluation", evaluation)
        return next((metric for metric in entry.metrics if metric.name == name), None) if entry else None

    def bounds(self, evaluation: str, name: str) -> Bounds:
        """Return the lowest and the highest possible number of a value or a curve of an evaluation."""
        entry = self.entry("evaluation", evaluation)
        return bounds_of(name, entry.ranges if entry else ())

    def headlines(self) -> list[str]:
        """Return the results of the default tables in their order, as `<evaluation>.<metric>`."""
        return [f"{evaluation}.{metric.name}" for evaluation, metric in self._headline_metrics()]

    def orders(self) -> dict[str, str]:
        """Return the orders of runs by a headline result, best first: the API's `sort`, and a label."""
        return {
            f"{'-' if metric.higher_is_better else ''}results.{evaluation}.{metric.name}": (
                f"{'highest' if metric.higher_is_better else 'lowest'} {_without_parameters(metric.label)}"
            )
            for evaluation, metric in self._headline_metrics()
            if metric.higher_is_better is not None
        }

    def headline_labels(self) -> dict[str, str]:
        """Return the labels of the headline results, without the parameters of their evaluations."""
        return {f"{key}.{metric.name}": _without_parameters(metric.label) for key, metric in self._headline_metrics()}

    def _headline_metrics(self) -> list[tuple[str, CatalogMetric]]:
        placed = [
            (metric.headline, entry.key, metric)
            for entry in self.entries("evaluation")
            for metric in entry.metrics
            if metric.headline is not None
        ]
        return [(key, metric) for _, key, metric in sorted(placed, key=lambda item: item[0])]

    def plain(self) -> frozenset[str]:
        """Return the regularizers without a penalty: their runs are baselines for every λ."""
        return frozenset(entry.key for entry in self.entries("regularizer") if not entry.penalises)

    def label(self, kind: str, key: str) -> str:
        entry = self.entry(kind, key)
        return entry.label if entry else key


def _without_parameters(label: str) -> str:
    return re.sub(r" \S+ = \{\w+\}", "", label)
