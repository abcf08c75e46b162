"""The contents of a report, as the API gave them."""

from dataclasses import dataclass
from functools import cached_property

from densitylab.backend.shared.contracts import AttributionRequest, Evaluation, Experiment, MetricSeries, Run
from densitylab.frontend.analysis.comparison import Comparison, compare
from densitylab.frontend.analysis.sample_arrays import Arrays
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.maps.view import MapView


@dataclass(frozen=True)
class Maps:
    """The saliency maps of a report, or the reason why it has none."""

    request: AttributionRequest | None
    view: MapView | None
    missing: str = ""


@dataclass(frozen=True)
class Evidence:
    """An experiment with its runs, evaluations, curves and maps."""

    experiment: Experiment
    runs: list[Run]
    evaluations: dict[int, list[Evaluation]]  # by run
    arrays: dict[tuple[int, str], Arrays]  # values of single test images by run and evaluation
    series: list[MetricSeries]
    maps: Maps
    catalog: Catalog
    url: str  # of the API

    @cached_property
    def comparison(self) -> Comparison:
        return compare(self.runs, self.catalog)
