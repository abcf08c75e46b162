"""The headline results of an experiment in a line."""

import pytest

from densitylab.backend.api.routes.catalog import catalog_answers
from densitylab.backend.shared.catalog import Catalog as BuiltIn
from densitylab.frontend.analysis.comparison import compare
from densitylab.frontend.analysis.result_ranges import result_ranges
from densitylab.frontend.client.catalog import Catalog
from tests.frontend.analysis.test_comparison import make_run
from tests.frontend.analysis.test_summary import runs

CATALOG = Catalog(catalog_answers(BuiltIn.built_in()))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({0: [0.4, 0.6], 1: [0.8, 1.0]}, "Test accuracy: 0.500 to 0.900 (means of 2 groups)"),
        ({0: [0.4, 0.6]}, "Test accuracy: 0.500"),
        ({0: [0.5, 0.5], 1: [0.5, 0.5]}, "Test accuracy: 0.500 (means of 2 groups)"),
        ({}, ""),
    ],
)
def test_the_means_of_the_groups_are_a_range(values, expected):
    assert result_ranges(compare(runs(values), CATALOG), CATALOG) == expected


def test_groups_without_results_are_not_counted():
    waiting = make_run("marginal_density", 3.0, 0, results={})
    found = result_ranges(compare([*runs({0: [0.4], 1: [0.8]}), waiting], CATALOG), CATALOG)
    assert found.endswith(" (means of 2 groups)")
