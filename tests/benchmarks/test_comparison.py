"""Scripts of the comparison: valid requests, launched once; tables and charts of made-up results."""

import re
from collections import Counter

import pytest

from benchmarks import controllers
from benchmarks.comparison import METHODS, NETWORKS, SEEDS, request
from benchmarks.comparison_charts import LEAKAGE, ROBUSTNESS, draw
from benchmarks.comparison_tables import every_lambda, matched_accuracy, overview
from benchmarks.launched import launched
from densitylab.backend.services.search_runs import first_runs
from densitylab.backend.shared.catalog import Catalog as BackendCatalog
from densitylab.backend.shared.contracts import ExperimentRequest, Run, RunSpec, Value
from densitylab.backend.shared.specs import plan
from densitylab.frontend.analysis.colors import PALETTE
from densitylab.frontend.analysis.comparison import compare
from densitylab.frontend.client.catalog import Catalog

NO_CATALOG = Catalog({})


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.label)
def test_each_network_searches_the_lambda_of_every_method_with_all_seeds(network):
    wanted, catalog = request(network), BackendCatalog.built_in()
    first = first_runs(catalog, wanted, wanted.search, plan(catalog, wanted.spec, wanted.sweep))
    counts = Counter(item.spec.regularizer.model_dump_json() for item in first)
    assert sorted(counts.values()) == [len(SEEDS), *[3 * len(SEEDS)] * len(METHODS)]
    assert {item.spec.seed for item in first} == set(SEEDS)
    splits = {(item.key, item.split) for item in first[0].spec.evaluations}
    assert {("pgd_linf", "test"), ("pgd_linf", "validation"), ("accuracy", "validation")} <= splits


def test_an_experiment_is_launched_once_and_gets_the_runs_that_it_lacks(live_api):
    wanted = ExperimentRequest(name="launched once", spec={"epochs": 2}, sweep=[{"lambda_": [1, 2]}])
    first = launched(live_api.client, wanted)
    again = launched(live_api.client, wanted)
    assert again.id == first.id and again.runs == first.runs
    more = launched(live_api.client, wanted.model_copy(update={"sweep": [*wanted.sweep, {"lambda_": [7, 8]}]}))
    assert more.id == first.id and len(more.runs) == len(first.runs) + 2
    other = launched(live_api.client, wanted.model_copy(update={"spec": {**wanted.spec, "epochs": 1}}))
    assert other.id != first.id and len(other.runs) == len(first.runs)


def made_up(regularizer, lambda_, seed, validation, pgd):
    number = int(1000 * lambda_) * 10 + seed
    spec = RunSpec.model_validate(
        {
            "regularizer": {"key": regularizer},
            "lambda_": lambda_,
            "seed": seed,
            "evaluations": [{"key": "accuracy"}, {"key": "pgd_linf"}, {"key": "leakage"}],
        }
    )
    results = {
        "accuracy.accuracy": validation - 0.01,
        "pgd_linf.accuracy": pgd + 0.01 * seed,
        "leakage.l2": 2.0,
        "leakage.share": 0.4,
    }
    return Run(
        id=number,
        experiment=1,
        task=number,
        status="succeeded",
        created_at="2026-01-01T00:00:00Z",
        spec=spec,
        metrics={"validation_accuracy": validation},
        provenance={"data_hash": "d"},
        results={
            name: Value(value=value, n=100, higher_is_better=not name.startswith("leakage"))
            for name, value in results.items()
        },
    )


@pytest.fixture
def comparisons():
    rows = [("none", 0, 0.9, 0.0), ("a", 0.1, 0.9, 0.2), ("a", 1, 0.885, 0.3), ("a", 10, 0.6, 0.5), ("b", 1, 0.5, 0.1)]
    runs = [made_up(name, lambda_, seed, validation, pgd) for name, lambda_, validation, pgd in rows for seed in (0, 1)]
    return {"a network": compare(runs, NO_CATALOG)}


def test_the_tables_show_the_choice_and_every_lambda(comparisons):
    table = matched_accuracy(comparisons, NO_CATALOG)
    assert "### a network" in table
    assert "| none | 0 | 0.890 | 0.005 ± 0.064 | 2 | 0.400 |" in table
    assert "| a | 1 | 0.875 | 0.305 ± 0.064 |" in table and "| a | 10" not in table
    assert "| b | no λ within budget |" in table
    table = overview(comparisons | {"another": comparisons["a network"]}, NO_CATALOG)
    assert "| none | 0.005 ± 0.064 | 0.005 ± 0.064 |" in table and "| b | – | – |" in table
    assert "| a | 0.305 ± 0.064 (λ 1) | 0.305 ± 0.064 (λ 1) |" in table
    table = every_lambda(comparisons)
    assert "| a | 0.1 | 0.900 | 0.890 |" in table and "| a | **1** | 0.885 |" in table and "| a | 10 | 0.600 |" in table


def test_the_charts_have_a_panel_per_network_and_result(comparisons, tmp_path):
    for chart in (ROBUSTNESS, LEAKAGE):
        draw(comparisons, chart, tmp_path / "chart.svg")
        content = (tmp_path / "chart.svg").read_text()
        assert content.count("<!-- a network -->") == len(chart.rows)
        assert all(f"<!-- {label} -->" in content for _, label, _ in chart.rows)


def row(schedule, lambda_, *ends):
    """Make a row from (cross-entropy, PGD accuracy), seed by seed."""
    made = {
        seed: controllers.End(lambda_, cross_entropy, 0.41, 0.9, pgd) for seed, (cross_entropy, pgd) in enumerate(ends)
    }
    return controllers.Row(schedule, lambda_, made)


def test_a_controller_is_set_against_fixed_lambdas_of_its_own_cross_entropy_seed_by_seed():
    fixed = [row("constant", 0.1, (0.2, 0.30), (0.2, 0.20)), row("constant", 1, (0.4, 0.40), (0.4, 0.50))]
    first = [other.ends[0] for other in fixed]
    assert controllers.at_cross_entropy(first, 0.3) == pytest.approx(0.35)
    assert controllers.at_cross_entropy(first, 0.1) == 0.30 and controllers.at_cross_entropy(first, 0.9) == 0.40
    budget = row("budget", 1, (0.3, 0.36), (0.36, 0.45))  # interpolated by seed: 0.35 and 0.44
    assert controllers.beyond_fixed(budget, fixed).mean == pytest.approx(0.01)
    text = controllers.report([*fixed, row("target", 0.01, (0.5, 0.4), (0.5, 0.4)), budget])
    assert "| 0.01 | 0.010 | 0.410 | 0.500 | 0.900 | 0.400 | +2.5% |" in text
    assert "| +10.0% | +0.010" in text


def test_a_method_has_one_color_on_all_networks(tmp_path):
    def compared(*names):
        runs = [made_up("none", 0, 0, 0.9, 0.0), *(made_up(name, 1, 0, 0.9, 0.2) for name in names)]
        return compare(runs, NO_CATALOG)

    draw({"first": compared("a", "b"), "second": compared("b")}, ROBUSTNESS, tmp_path / "chart.svg")
    drawn = (tmp_path / "chart.svg").read_text()
    first, second, _ = re.split('id="axes_2"|id="legend_1"', drawn)
    a, b = (color.lower() for color in PALETTE[:2])
    assert a in first and b in first and b in second and a not in second
