"""The contents of a report, as the API gave them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from densitylab.backend.shared.contracts import AttributionRequest, Evaluation, Experiment, MetricSeries, Run
from densitylab.backend.shared.statistics.groups import Column
from densitylab.frontend.analysis.comparison import Comparison, compare, headline_columns
from densitylab.frontend.analysis.sample_arrays import Arrays
from densitylab.frontend.analysis.selection_rule import SelectionRule
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.maps.view import MapView


@dataclass(frozen=True)
class Maps:
    """The saliency maps of a report, or the reason why it has none."""

    request: AttributionRequest | None
    view: MapView | None
    missing: str = ""
    left_out: str = ""  # the groups that have none, in a sentence; "": every group has


@dataclass(frozen=True)
class Evidence:
    """Runs of one or several experiments with their evaluations, curves and maps."""

    experiments: list[Experiment]
    runs: list[Run]
    evaluations: dict[int, list[Evaluation]]  # by run
    arrays: dict[tuple[int, str], Arrays]  # values of single test images by run and evaluation
    series: list[MetricSeries]
    maps: Maps
    catalog: Catalog
    url: str  # of the API
    baseline: int | None = None  # a run of the group that all others are compared with; None: each has its own
    results: Sequence[str] = ()  # to show; empty: the headline results
    rule: SelectionRule | None = None  # of the selected λ; None: by the first result of known direction

    @property
    def experiment(self) -> Experiment:
        """The experiment of the first run."""
        return self.experiments[0]

    @cached_property
    def comparison(self) -> Comparison:
        return compare(self.runs, self.catalog, baseline=self.baseline, leave_out=True)

    @cached_property
    def columns(self) -> list[Column]:
        """The results of tables and charts."""
        if self.results:
            return [column for column in self.comparison.columns if column.result in self.results]
        return headline_columns(self.comparison, self.catalog)
