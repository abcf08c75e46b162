"""Pareto set, families, colours and tables against cases worked by hand."""

import itertools

import pytest

from densitylab.backend.shared.contracts import (
    CatalogEntry,
    CatalogMetric,
    CatalogParam,
    CatalogPlot,
    EvaluationSpec,
    Origin,
    Run,
    RunSpec,
    Status,
    Value,
)
from densitylab.backend.shared.statistics.estimates import estimate
from densitylab.backend.shared.statistics.groups import (
    baseline_for,
    differing_settings,
    group_runs,
    repeated_text,
)
from densitylab.backend.shared.statistics.pareto import dominated
from densitylab.frontend.analysis.colors import NEUTRAL, PALETTE
from densitylab.frontend.analysis.comparison import (
    column_label,
    compare,
    headline_columns,
    left_out_text,
    results_in_several_columns,
    tradeoff_columns,
)
from densitylab.frontend.analysis.controls import controls_text
from densitylab.frontend.analysis.formatting import labels_of
from densitylab.frontend.analysis.tables import cell, numbers, per_run, summary
from densitylab.frontend.charts.lambda_response import parallel_coordinates
from densitylab.frontend.client.catalog import Catalog

NO_CATALOG = Catalog({})
_numbers = itertools.count(1)


def make_run(
    regularizer: str,
    lambda_: float,
    seed: int,
    *,
    validation: float | None = None,
    data_hash: str = "d",
    model: str = "mlp",
    results: dict[str, float] | None = None,
    pgd_steps: int = 10,
) -> Run:
    number = next(_numbers)
    spec = RunSpec.model_validate(
        {
            "regularizer": {"key": regularizer},
            "lambda_": lambda_,
            "seed": seed,
            "model": {"key": model},
        }
    )
    asked = [
        {"key": key, "name": key, "params": {"steps": pgd_steps} if key == "pgd_linf" else {}}
        for key in ("accuracy", "pgd_linf", "leakage")
    ]
    return Run(
        id=number,
        experiment=1,
        task=number,
        status="succeeded",
        created_at="2026-01-01T00:00:00Z",
        spec=spec,
        evaluations=asked,
        metrics={} if validation is None else {"validation_accuracy": validation},
        results={
            name: Value(value=value, n=100, higher_is_better=not name.startswith("leakage"))
            for name, value in (results or {}).items()
        },
        provenance={"data_hash": data_hash},
        checkpoint_step=10,
    )


def measured(accuracy: float, pgd: float, share: float) -> dict[str, float]:
    return {"accuracy.accuracy": accuracy, "pgd_linf.accuracy": pgd, "leakage.share": share}


def test_the_pareto_set_of_five_points():
    points = [(1.0, 5.0), (2.0, 4.0), (2.0, 3.0), (4.0, 1.0), (0.5, 5.0)]
    assert dominated(points, (True, True)) == [False, False, True, False, True]
    # With less being better across, the point at the far left and top beats all but itself
    assert dominated(points, (False, True)) == [True, True, True, True, False]


def test_equal_points_do_not_dominate_each_other():
    assert dominated([(1.0, 1.0), (1.0, 1.0)], (True, True)) == [False, False]
    assert dominated([(1.0, 1.0), (1.0, 2.0)], (True, True)) == [True, False]


def matched_runs(validation: bool = True) -> list[Run]:
    """Baseline 0.90; method a loses 0.01 and 0.05, method b 0.04."""
    rows = [
        ("none", 0, 0.90, 0.80, 0.1),
        ("a", 0.1, 0.89, 0.60, 0.3),
        ("a", 1, 0.85, 0.88, 0.6),
        ("b", 1, 0.86, 0.70, 0.5),
    ]
    return [
        make_run(name, lambda_, seed, validation=accuracy if validation else None, results=measured(test, pgd, 0.5))
        for name, lambda_, accuracy, test, pgd in rows
        for seed in (0, 1)
    ]


def test_a_baseline_is_the_same_spec_otherwise():
    runs = [make_run("none", 0, 0), make_run("a", 1, 0), make_run("a", 1, 0, model="cnn"), make_run("a", 0, 0)]
    groups = group_runs(runs)
    none, ours, other, zero = (next(group for group in groups if run in group.runs) for run in runs)
    assert none is zero and baseline_for(ours, groups) is none
    assert baseline_for(other, groups) is None  # no baseline with its model


def two_experiments() -> list[Run]:
    """Two regularizers, each with λ = 0 of its own; seed 0 of it is trained in both."""
    runs = [
        make_run(key, lambda_, seed, results=measured(accuracy + seed / 100, 0.1, 0.5))
        for key, lambda_, seeds, accuracy in (
            ("a", 0, (0, 1), 0.9),
            ("a", 1, (0, 1, 2), 0.8),
            ("b", 0, (0, 2), 0.9),
            ("b", 1, (0, 1, 2), 0.7),
        )
        for seed in seeds
    ]
    for run in runs:
        run.experiment = 1 if run.spec.regularizer.key == "a" else 2
    return runs


def test_baselines_of_several_experiments_are_one_that_every_method_is_compared_with():
    runs = two_experiments()
    found = compare(runs, NO_CATALOG)
    assert found.labels == ["Baseline (no regularizer)", "a, λ 1", "b, λ 1"]
    table = summary(found, [found.columns[0]], NO_CATALOG)
    assert list(table["seeds done"]) == ["3 of 3"] * 3
    delta = next(name for name in table if str(name).startswith("Δ"))
    assert list(table[delta]) == ["baseline", "-0.100", "-0.200"]
    by_group = {row["group"]: row for row in numbers(found, found.columns[:1], NO_CATALOG)}
    assert [by_group[label]["difference_n"] for label in found.labels[1:]] == [3, 3]
    assert repeated_text(found.groups) == (
        f"Trained more than once with the same settings and seed: runs {runs[0].id} and {runs[5].id}. Of each only the "
        "newest run with a result counts."
    )
    assert compare(runs[5:] + runs[:5], NO_CATALOG).labels == found.labels


def test_groups_that_ended_without_results_can_be_left_out():
    runs = two_experiments()
    running = make_run("c", 1, 0).model_copy(update={"status": Status.RUNNING, "results": {}})
    lost = [
        make_run(key, lambda_, seed).model_copy(update={"status": status, "results": {}})
        for key, lambda_, seed, status in (
            ("a", 10, 0, Status.CANCELLED),
            ("a", 10, 1, Status.FAILED),
            ("d", 1, 0, Status.CANCELLED),
            ("b", 1, 5, Status.FAILED),  # its group has results
        )
    ]
    found = compare([*runs, running, *lost], NO_CATALOG, leave_out=True)
    assert found.labels == ["Baseline (no regularizer)", "a, λ 1", "b, λ 1", "c, λ 1"]
    assert list(summary(found, found.columns, NO_CATALOG)["seeds done"]) == ["3 of 3", "3 of 3", "3 of 4", "0 of 1"]
    assert left_out_text(found) == (
        "2 groups have no results: all their runs were cancelled or failed (a, λ 10; d, λ 1)."
    )
    assert found.label_of(lost[0]) == "a, λ 10, seed 0" and lost[0].id in found.run_colors
    assert left_out_text(compare([*runs, *lost[:2]], NO_CATALOG, leave_out=True)) == (
        "1 group has no results: all its runs were cancelled or failed (a, λ 10)."
    )
    every = compare([*runs, *lost], NO_CATALOG)
    assert left_out_text(every) == "" and len(every.labels) == 5
    assert len(compare(lost[:3], NO_CATALOG, leave_out=True).labels) == 2  # all of them, rather than none


def test_a_baseline_has_no_details_of_a_penalty():
    runs = two_experiments()
    for run in runs[:2]:
        run.spec.regularizer.params["power"], run.spec.schedule.key = 2, "cosine"
    for run in runs[2:5]:
        run.spec.regularizer.params["power"] = 1
    found = compare(runs, NO_CATALOG)
    assert found.labels[0] == "Baseline (no regularizer)" and "regularizer.params.power" in found.varied
    baseline = summary(found, found.columns, NO_CATALOG).iloc[0]
    assert (baseline["regularizer"], baseline["schedule"], baseline["power"]) == ("Baseline (no regularizer)", "—", "—")
    assert numbers(found, found.columns, NO_CATALOG)[0]["schedule.key"] is None


def test_a_chosen_baseline_comes_first_and_changes_no_colour():
    runs = matched_runs()
    own, chosen = (compare(runs, NO_CATALOG, baseline=number) for number in (None, runs[4].id))
    assert runs[4].id in [run.id for run in chosen.groups[0].runs] and chosen.baselines[0] is None
    assert all(baseline is chosen.groups[0] for baseline in chosen.baselines[1:])
    assert own.run_colors == chosen.run_colors


def colors_by_group(runs: list[Run]) -> dict[tuple[str, float, str], str]:
    found = compare(runs, NO_CATALOG)
    return {
        (group.settings["regularizer.key"], group.settings["lambda_"], group.settings["model.key"]): color
        for group, color in zip(found.groups, found.colors, strict=True)
    }


def test_a_group_has_the_same_colour_whatever_it_is_compared_with():
    runs = [make_run(key, lambda_, 0) for key in ("a", "b") for lambda_ in (0, 0.1, 1)]
    every = colors_by_group(runs)
    assert len(set(every.values())) == 5 and every["a", 0, "mlp"] == NEUTRAL  # one baseline
    for kept in ([0, 1], [0, 2], [1, 2], [0, 2, 5], [2, 4], [0, 1, 3, 4]):
        for group, color in colors_by_group([runs[index] for index in kept]).items():
            assert color == every[group] or group[1] == 0
    cells = compare(runs, NO_CATALOG)
    assert all(
        cells.run_colors[run.id] == color for g, color in zip(cells.groups, cells.colors, strict=True) for run in g.runs
    )
    assert [family.color for family in cells.families] == [every["a", 1, "mlp"], every["b", 1, "mlp"]]


def test_dashes_tell_the_weights_and_the_seeds_apart_whatever_is_missing():
    runs = [make_run("a", lambda_, seed) for lambda_ in (0, 1, 3, 10) for seed in (0, 1)]
    every = compare(runs, NO_CATALOG)
    assert every.dashes == ["solid", "solid", "dash", "dot"]
    assert [every.run_dashes[run.id] for run in runs] == ["solid", "dash"] * 4
    fewer = compare(runs[3:], NO_CATALOG)
    assert all(fewer.run_dashes[run.id] == every.run_dashes[run.id] for run in runs[3:])
    assert fewer.dashes == every.dashes[1:]


def test_a_regularizer_of_the_catalog_has_its_place_in_the_palette():
    entries = [
        CatalogEntry.model_construct(key=key, label=key, params=[], penalises=key != "none")
        for key in ("none", "a", "b")
    ]
    catalog = Catalog({"regularizer": entries})
    alone = compare([make_run("none", 0, 0), make_run("b", 1, 0)], catalog)
    assert alone.colors == [NEUTRAL, PALETTE[1]]


def test_two_networks_with_one_regularizer_are_told_apart():
    found = colors_by_group([make_run("a", lambda_, 0, model=model) for lambda_ in (0, 1) for model in ("mlp", "cnn")])
    assert len(set(found.values())) == 4


@pytest.mark.parametrize("models", [("mlp", "cnn"), ("mlp", "cnn", "vgg11"), ("mlp",)])
def test_groups_without_any_penalty_have_colours_of_their_own(models):
    found = colors_by_group([make_run("none", 0, seed, model=model) for seed in (0, 1) for model in models])
    assert len(set(found.values())) == len(models) and NEUTRAL not in found.values()


def test_groups_of_images_go_by_their_names():
    data = CatalogEntry.model_construct(key=RunSpec().dataset.key, class_names=[], group_names=["dry", "wet"])
    groups = CatalogEntry.model_construct(key="groups", label="Accuracy of groups", params=[], metrics=[])
    catalog = Catalog({"dataset": [data], "evaluation": [groups]})
    run = make_run("none", 0, 0, results={"groups.group_0": 0.9, "groups.group_1": 0.3, "groups.group_2": 0.1})
    run.evaluations = [EvaluationSpec(key="groups", name="groups")]
    found = compare([run], catalog)
    assert [column_label(column, found, catalog) for column in found.columns] == [
        "Accuracy of groups: dry",
        "Accuracy of groups: wet",
        "Accuracy of groups: group 2",
    ]


def test_parameters_that_only_one_component_has_do_not_count_as_differing():
    runs = [make_run("none", 0, 0), make_run("a", 1, 0)]
    runs[1].spec.regularizer.params["power"] = 2
    assert differing_settings(group_runs(runs)) == ["regularizer.key", "lambda_"]
    runs.append(make_run("a", 1, 0))
    runs[2].spec.regularizer.params["power"] = 1
    assert "regularizer.params.power" in differing_settings(group_runs(runs))


def test_other_data_are_another_column_and_said():
    runs = [
        make_run("none", 0, 0, results=measured(0.9, 0.1, 0.5)),
        make_run("a", 1, 0, results=measured(0.8, 0.2, 0.4), data_hash="e"),
        make_run("a", 1, 1, results=measured(0.8, 0.2, 0.4), pgd_steps=40),
    ]
    found = compare(runs, NO_CATALOG)
    assert [column.result for column in found.columns].count("accuracy.accuracy") == 2
    assert [column.result for column in found.columns].count("pgd_linf.accuracy") == 3
    assert set(results_in_several_columns(found)) == {"accuracy.accuracy", "pgd_linf.accuracy", "leakage.share"}
    table = summary(found, found.columns, NO_CATALOG)
    assert table.columns.is_unique


def test_two_evaluations_of_one_kind_stand_side_by_side():
    metric = CatalogMetric(name="share", label="Leakage, share", higher_is_better=False, headline=1)
    attribution = CatalogParam.model_construct(name="attribution", type="component", kind="attribution")
    catalog = Catalog(
        {
            "evaluation": [CatalogEntry.model_construct(key="leakage", params=[attribution], metrics=[metric])],
            "attribution": [
                CatalogEntry.model_construct(key=key, label=key.capitalize()) for key in ("gradient", "occlusion")
            ],
        }
    )
    methods = {"leakage": ("gradient", {}), "leakage_zero_occlusion": ("occlusion", {"patch": 1})}
    runs = []
    for seed in (0, 1):
        run = make_run("a", 1, seed, results={"leakage.share": 0.3, "leakage_zero_occlusion.share": 0.6})
        run.evaluations = [
            EvaluationSpec(key="leakage", name=name, params={"attribution": {"key": key, "params": params}})
            for name, (key, params) in methods.items()
        ]
        runs.append(run)
    found = compare(runs, catalog)
    columns = headline_columns(found, catalog)
    assert [column.result for column in columns] == ["leakage.share", "leakage_zero_occlusion.share"]
    table = summary(found, columns, catalog, deltas=False)
    assert table["Leakage, share (Gradient)"].tolist() == ["0.300"]
    assert table["Leakage, share (Occlusion)"].tolist() == ["0.600"]
    assert [column.result for column in tradeoff_columns(columns)] == ["leakage.share"]
    assert labels_of(runs[0], catalog) == {
        "leakage.share": "Leakage, share (leakage)",
        "leakage_zero_occlusion.share": "Leakage, share (leakage zero occlusion)",
    }
    assert results_in_several_columns(found) == []


def test_a_baseline_is_called_so_where_regularizers_differ():
    runs = [make_run("a", 0, 0), make_run("a", 1, 0), make_run("b", 2, 0)]
    assert compare(runs, NO_CATALOG).labels == ["Baseline (no regularizer)", "a, λ 1", "b, λ 2"]
    of_networks = [make_run("a", 0, 0), make_run("a", 0, 0, model="cnn"), make_run("b", 2, 0)]
    assert compare(of_networks, NO_CATALOG).labels == [
        "Baseline (no regularizer), mlp",
        "Baseline (no regularizer), cnn",
        "mlp, b, λ 2",
    ]
    two = [make_run("a", 0, 0), make_run("b", 0, 0), make_run("b", 2, 0)]
    assert compare(two, NO_CATALOG).labels == ["Baseline (no regularizer)", "b, λ 2"]
    assert compare(runs[:2], NO_CATALOG).labels == ["λ 0", "λ 1"]


def test_tables_and_axes_name_the_regularizer_of_a_baseline_as_its_label_does():
    def names(runs: list[Run]) -> tuple[list[str], list[str]]:  # of the table, and of the axis of the lines
        found = compare(runs, NO_CATALOG)
        figure = parallel_coordinates(found, found.columns, NO_CATALOG)
        assert figure is not None
        axis = next(item for item in figure.data[0].dimensions if item.label == "regularizer")
        return list(summary(found, found.columns, NO_CATALOG)["regularizer"]), list(axis.ticktext)

    results = measured(0.9, 0.5, 0.5)
    runs = [make_run("a", 0, 0, results=results), make_run("a", 1, 0, results=results)]
    runs.append(make_run("b", 2, 0, results=results))
    assert names(runs) == (["Baseline (no regularizer)", "a", "b"], ["Baseline (no regularizer)", "a", "b"])
    runs.append(make_run("b", 0, 0, results=results))
    assert names(runs) == (["Baseline (no regularizer)", "a", "b"], ["Baseline (no regularizer)", "a", "b"])


def test_controls_stand_beside_shares():
    plot = CatalogPlot.model_construct(
        title="Share", names=["share"], mark="violins", controls=["chance", "random_map", "random_weights"], images=None
    )
    catalog = Catalog(
        {"evaluation": [CatalogEntry.model_construct(key="leakage", label="Leakage", params=[], plots=[plot])]}
    )
    runs = [
        make_run(
            "a",
            1,
            seed,
            results={
                "accuracy.accuracy": 0.9,
                "leakage.share": 0.2,
                "leakage.ratio": 0.4,
                "leakage.chance": 0.5,
                "leakage.share_random_map": 0.5,
                "leakage.ratio_random_map": 0.7,
                "leakage.share_random_weights": 0.4 + 0.01 * seed,
            },
        )
        for seed in (0, 1)
    ]
    found = compare(runs, catalog)
    accuracy, share, ratio = found.columns[:3]
    assert controls_text(found, [accuracy, share, ratio], catalog) == (
        "Controls, over all runs. Leakage: share: chance 0.500, random map 0.500, random weights 0.400 to 0.410; "
        "Leakage: ratio: random map 0.700."
    )
    assert controls_text(found, [accuracy], catalog) == ""


def test_cells_say_what_n_is():
    assert cell(estimate([0.5, 0.5, 0.8]), seeds=3) == "0.60 ± 0.43"
    assert cell(estimate([0.5]), seeds=3) == "0.500 (1 seed)"
    assert cell(estimate([0.1, 0.3]), seeds=3).endswith("(n = 2)")
    assert cell(None, seeds=3) == "—"


def test_the_files_hold_unrounded_numbers():
    runs = [make_run("none", 0, seed, results=measured(0.9 + seed / 100, 0.1, 0.5)) for seed in (0, 1)]
    runs += [make_run("a", 1, seed, results=measured(0.8 + seed / 50, 0.2, 0.4)) for seed in (0, 1)]
    found = compare(runs, NO_CATALOG)
    row = next(
        row
        for row in numbers(found, found.columns, NO_CATALOG)
        if row["regularizer.key"] == "a" and row["result"] == "accuracy.accuracy"
    )
    assert (row["mean"], row["n"], row["difference_mean"]) == (pytest.approx(0.81), 2, pytest.approx(-0.095))
    # t(1) = 12.706; s of the differences −0.10 and −0.09 is 0.01 / √2
    assert row["difference_high"] - row["difference_mean"] == pytest.approx(12.7062047 * 0.005)


def test_charts_name_a_run_by_its_own_name_and_else_by_its_settings():
    runs = [make_run("none", 0, seed) for seed in (0, 1, 2)]
    runs[0].name, runs[1].name = "teacher", "student"
    found = compare(runs, NO_CATALOG)
    assert [found.label_of(run) for run in runs] == ["teacher", "student", "λ 0, seed 2"]
    runs[1].name = "teacher"
    found = compare(runs, NO_CATALOG)
    assert found.label_of(runs[1]) == f"teacher (run {runs[1].id})" and found.settings_of(runs[1]) == "λ 0, seed 1"
    assert list(per_run(found, [], NO_CATALOG)["name"]) == ["teacher", "teacher", ""]


def test_an_imported_model_with_a_name_is_a_group_of_that_name():
    runs = [make_run("none", 0, 0) for _ in range(2)]
    for run, name in zip(runs, ("teacher", None), strict=True):
        run.origin, run.name, run.notes = Origin.IMPORTED, name, "from a colleague"
    assert compare(runs, NO_CATALOG).labels == ["teacher", "from a colleague"]
