"""A sentence on the seeds of a launch: the least difference between groups that they establish."""

import json
import math
from collections.abc import Sequence

from densitylab.backend.shared.catalog import Catalog, DatasetEntry, EvaluationEntry
from densitylab.backend.shared.contracts import RunSpec
from densitylab.backend.shared.statistics.estimates import t_quantile
from densitylab.backend.shared.statistics.paired_tests import ALPHA

_ENOUGH = 5  # seeds, with which a difference of some two standard deviations is established


def note(planned: Sequence[RunSpec], catalog: Catalog) -> str | None:
    """Return what the seeds of planned runs allow to find among the default results, which a comparison tests together;
    None for five or more seeds, and where no group is compared with λ = 0."""
    seeds: dict[str, set[int]] = {}
    baselines = set()
    for spec in planned:
        group = json.dumps(spec.model_dump(mode="json", exclude={"seed"}), sort_keys=True)
        seeds.setdefault(group, set()).add(spec.seed)
        if spec.lambda_ == 0:
            baselines.add(group)
    compared, fewest = len(seeds) - len(baselines), min(map(len, seeds.values()))
    if not baselines or not compared or fewest >= _ENOUGH:
        return None
    if fewest == 1:
        return "One seed says nothing about other seeds: no difference from λ = 0 can be tested. Train at least 3."
    results = _default_results(planned[0], catalog)
    tests = compared * results
    factors = f" ({compared} groups × {results} results)" if min(compared, results) > 1 else ""
    together = "" if tests == 1 else f", since {tests} are tested together{factors}"
    return (
        f"With {fewest} seeds only a large difference from λ = 0 can be established: at least "
        f"{least_difference(fewest, tests):.2g} times its standard deviation over seeds{together}. "
        f"With {_ENOUGH} seeds {least_difference(_ENOUGH, tests):.2g} times is enough."
    )


def _default_results(spec: RunSpec, catalog: Catalog) -> int:
    """Return the number of results of the spec's evaluations that the default tables have; at least 1."""
    tested = (item for item in spec.evaluations if item.split != "validation")
    metrics = [metric for item in tested for metric in catalog.find(EvaluationEntry, item.key).metrics]
    grouped = catalog.find(DatasetEntry, spec.dataset.key).has_groups
    return max(sum(item.headline is not None and (grouped or not item.needs_groups) for item in metrics), 1)


def least_difference(seeds: int, tests: int) -> float:
    """Return the smallest mean difference, in its standard deviations over seeds, that a paired t test finds at 5 % as
    the first of several tests (Holm 1979: at 5 % / tests).

    Args:
        seeds: ≥ 2.
        tests: ≥ 1.
    """
    return t_quantile(seeds - 1, 1 - ALPHA / tests) / math.sqrt(seeds)
