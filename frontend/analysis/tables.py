"""A comparison as tables: text for the page, numbers for files."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.statistics.estimates import Estimate
from densitylab.backend.shared.statistics.groups import (
    Column,
    Group,
    difference,
    higher_is_better,
    is_unused,
    mean_over_seeds,
    newest_of_each_seed,
)
from densitylab.backend.shared.statistics.paired_tests import MOST_SEEDS
from densitylab.backend.shared.statistics.selection import Selection
from densitylab.backend.shared.statistics.selection_text import (
    edge_text,
    few_seeds_text,
    near_miss_text,
    seeds_text,
    unselected_text,
)
from densitylab.backend.shared.statistics.table_tests import TableTest
from densitylab.frontend.analysis.comparison import (
    Comparison,
    all_runs,
    column_label,
    method_label,
    short_label,
    text,
)
from densitylab.frontend.analysis.formatting import fixed, status_text
from densitylab.frontend.analysis.origins import seed_of
from densitylab.frontend.analysis.setting_names import setting_label
from densitylab.frontend.client.catalog import Catalog

BEST = "★ "
SEEDS = "seeds done"


def cell(estimate: Estimate | None, *, seeds: int | None, signed: bool = False) -> str:
    """Return mean ± half-width, with n where it differs from the number of seeds; `seeds` is None for a model that was
    trained elsewhere."""
    words = text(estimate, signed=signed)
    if estimate is None:
        return words
    if estimate.n == 1:
        return f"{words} (1 {'model' if seeds is None else 'seed'})"
    return words if estimate.n == seeds else f"{words} (n = {estimate.n})"


def summary(
    comparison: Comparison,
    chosen: Sequence[Column],
    catalog: Catalog,
    *,
    all_settings: bool = False,
    deltas: bool = True,
    stars: bool = True,
) -> pd.DataFrame:
    """Return a row per group: the settings that differ, the seeds, and each result with its difference; with a star at
    the best if `stars`."""
    names = comparison.varied
    if all_settings:
        names = list(dict.fromkeys(name for group in comparison.groups for name in group.settings))
    means = {column: [mean_over_seeds(group, column) for group in comparison.groups] for column in chosen}
    best = comparison.best(chosen) if stars else {}
    labels = {column: short_label(column, comparison, catalog) for column in chosen}
    settings, rows = [], []
    for index, (group, baseline) in enumerate(zip(comparison.groups, comparison.baselines, strict=True)):
        settings.append(
            {
                setting_label(name, group.settings, catalog): comparison.setting_text(name, group, catalog)
                for name in names
                if (name in group.settings or "." not in name) and not is_unused(name, group)
            }
        )
        finished = _finished(group) if group.trained_here else None
        row = {SEEDS: "—" if finished is None else f"{finished} of {_seeds(group)}"}
        for column, label in labels.items():
            row[label] = (BEST if best.get(column) is group else "") + cell(means[column][index], seeds=finished)
            if deltas and any(comparison.baselines):
                row[f"Δ {label}"] = (
                    "baseline"
                    if comparison.is_baseline(group)
                    else "no baseline"
                    if baseline is None
                    else cell(difference(group, baseline, column), seeds=finished, signed=True)
                )
        rows.append(row)
    return pd.concat([pd.DataFrame(settings), pd.DataFrame(rows)], axis=1).fillna("—")


def _finished(group: Group) -> int:
    """Return the number of seeds of which a run is trained."""
    return len({run.spec.seed for run in group.runs if run.status is Status.SUCCEEDED})


def numbers(
    comparison: Comparison, chosen: Sequence[Column], catalog: Catalog, *, tested: Sequence[Column] | None = None
) -> list[dict[str, Any]]:
    """Return a row of plain numbers per group and result, for CSV and JSON files.

    Args:
        comparison: groups of runs.
        chosen: the results of the rows.
        catalog: the API's.
        tested: the results whose tests are corrected together; others have no adjusted p value. None: the chosen ones.
    """
    rows = []
    runs = all_runs(comparison)
    labels = {item: (column_label(item, comparison, catalog), higher_is_better(runs, item)) for item in chosen}
    tests, corrected = comparison.tests(chosen), comparison.tests(chosen if tested is None else tested)
    rows_of = zip(comparison.labels, comparison.groups, comparison.baselines, strict=True)
    for index, (label, group, baseline) in enumerate(rows_of):
        for column, (column_text, higher) in labels.items():
            mean = mean_over_seeds(group, column)
            own = tests.get((index, column))
            as_one_of_all = corrected.get((index, column))
            rows.append(
                {
                    "group": label,
                    **{
                        name: None if is_unused(name, group) else group.settings.get(name) for name in comparison.varied
                    },
                    "runs": " ".join(str(run.id) for run in group.runs),
                    "result": column.result,
                    "label": column_text,
                    "data_hash": column.data_hash,
                    "higher_is_better": higher,
                    **_parts("", mean),
                    **_parts("difference_", own.test if own else None),
                    "difference_p": own.test.p if own else None,
                    "difference_p_adjusted": as_one_of_all.p_adjusted if as_one_of_all else None,
                    "difference_effect_size": own.test.effect_size if own else None,
                    "difference_seeds_needed": as_one_of_all.seeds_needed if as_one_of_all else None,
                    "baseline": comparison.labels[comparison.index_of(baseline)] if baseline else None,
                }
            )
    return rows


def _parts(prefix: str, estimate: Estimate | None) -> dict[str, float | int | None]:
    if estimate is None:
        return {f"{prefix}{name}": None for name in ("mean", "low", "high", "n")}
    return {
        f"{prefix}mean": estimate.mean,
        f"{prefix}low": estimate.low,
        f"{prefix}high": estimate.high,
        f"{prefix}n": estimate.n,
    }


def per_run(comparison: Comparison, chosen: Sequence[Column], catalog: Catalog) -> pd.DataFrame:
    """Return a row per run with its raw results."""
    rows = []
    labels = {column: short_label(column, comparison, catalog) for column in chosen}
    named = any(run.name for run in all_runs(comparison))
    for label, group in zip(comparison.labels, comparison.groups, strict=True):
        for run in group.runs:
            row: dict[str, Any] = {
                "run": run.id,
                **({"name": run.name or ""} if named else {}),
                "group": label,
                "seed": seed_of(run),
                "status": status_text(run.status),
            }
            for column, words in labels.items():
                row[words] = group.value_of(run, column)
            rows.append(row)
    return pd.DataFrame(rows)


def seeds_to_decide(tested: TableTest | None) -> str:
    """Return about how many seeds would tell the difference from zero, where those that there are do not."""
    if tested is None or tested.p_adjusted is None or tested.established:
        return ""
    return f"over {MOST_SEEDS}" if tested.seeds_needed is None else f"about {tested.seeds_needed}"


def tested_with(columns: Sequence[Column], result: Column) -> Sequence[Column]:
    """Return the results whose tests are corrected together where this one stands beside those that are shown."""
    return columns if result in columns else [*columns, result]


def selections(
    rows: Sequence[Selection],
    comparison: Comparison,
    result: Column,
    catalog: Catalog,
    *,
    shown: Sequence[Column],
) -> pd.DataFrame:
    """Return a row per method: its selected λ with the figures that the choice rests on.

    Args:
        rows: of the comparison's groups.
        comparison: the groups.
        result: by which λ was selected.
        catalog: the API's.
        shown: the results of the comparison's other tables, with whose tests those of this one are corrected.
    """
    label = short_label(result, comparison, catalog)
    tests = comparison.tests(tested_with(shown, result))
    table = []
    for row in rows:
        split = row.accuracy_split
        seeds = _seeds(row.group) if row.group else 0
        tested = tests.get((comparison.index_of(row.group), result)) if row.group else None
        selected_by = cell(row.selected_by, seeds=seeds)
        beside, rested_on = _constrained(row, comparison, catalog)
        notes = (
            unselected_text(row),
            edge_text(row.edge),
            near_miss_text(row),
            seeds_text(row, result),
            few_seeds_text(row),
        )
        table.append(
            {
                "method": method_label(row.method.groups[0], comparison.varied, catalog),
                "λ": f"{row.group.settings['lambda_']:g}" if row.group else "none within budget",
                label: cell(row.result, seeds=seeds),
                f"Δ {label}": cell(tested.test if tested else None, seeds=seeds, signed=True),
                "p (Holm)": "—" if tested is None or tested.p_adjusted is None else f"{tested.p_adjusted:.2g}",
                "seeds to decide": seeds_to_decide(tested),
                **beside,
                "Test accuracy": cell(row.test_accuracy, seeds=seeds),
                "λ within budget": f"{row.within} of {row.candidates}",
                f"baseline accuracy, {split}": cell(row.baseline_accuracy, seeds=_seeds(row.baseline)),
                f"accuracy, {split}": cell(row.accuracy, seeds=seeds),
                "Δ accuracy": "—" if row.loss is None else f"{fixed(-100 * row.loss, 1, signed=True)} points",
                **({f"{label}, validation": selected_by} if row.result_split == "validation" else {}),
                **rested_on,
                "note": "; ".join(filter(None, notes)),
            }
        )
    return pd.DataFrame(table)


def _seeds(group: Group) -> int:
    return len(newest_of_each_seed(group.runs))


def _constrained(row: Selection, comparison: Comparison, catalog: Catalog) -> tuple[dict[str, str], dict[str, str]]:
    """Return the cells of the selection's second result: of the test images, and of those where it was compared."""
    if row.constrained is None:
        return {}, {}
    result, split = row.constrained.constraint.result, row.constrained.split
    label = short_label(result, comparison, catalog)
    seeds = _seeds(row.group) if row.group else 0
    change = difference(row.group, row.baseline, result) if row.group else None
    tested = mean_over_seeds(row.group, result) if row.group else None
    baseline = cell(row.constrained.baseline, seeds=_seeds(row.baseline))
    return (
        {label: cell(tested, seeds=seeds), f"Δ {label}": cell(change, seeds=seeds, signed=True)},
        {
            f"baseline {label}, {split}": baseline,
            **({f"{label}, validation": cell(row.constrained.value, seeds=seeds)} if split == "validation" else {}),
        },
    )
