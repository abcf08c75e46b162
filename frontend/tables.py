"""The comparison as tables: words for the page, numbers for files. No Streamlit in here."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from backend.shared.contracts import Run, Status
from frontend.aggregate import Column, Estimate, best, difference, higher_is_better, mean_over_seeds
from frontend.catalog import Catalog
from frontend.comparison import Comparison, column_label, setting_label, setting_text, short_label, text
from frontend.selection import Match
from frontend.words import number, status_text

BEST = "★ "
SEEDS = "seeds done"


def cell(estimate: Estimate | None, *, seeds: int, signed: bool = False) -> str:
    """Mean ± half of the interval; says n where it is not the number of seeds, and that one seed has no interval."""
    words = text(estimate, signed=signed)
    if estimate is None:
        return words
    if estimate.n == 1:
        return f"{words} (1 seed)"
    return words if estimate.n == seeds else f"{words} (n = {estimate.n})"


def summary(
    found: Comparison, chosen: Sequence[Column], offered: Catalog, *, all_settings: bool = False, deltas: bool = True
) -> pd.DataFrame:
    """A row per group: what differs, the seeds, and each result with its difference from the baseline."""
    names = found.varied
    if all_settings:
        names = list(dict.fromkeys(name for group in found.groups for name in group.settings))
    means = {column: [mean_over_seeds(group, column) for group in found.groups] for column in chosen}
    top = {column: best(means[column], higher_is_better(all_runs(found), column)) for column in chosen}
    labels = {column: short_label(column, found, offered) for column in chosen}
    rows = []
    for place, (group, baseline) in enumerate(zip(found.groups, found.baselines, strict=True)):
        row = {setting_label(name, group, offered): setting_text(name, group, offered) for name in names}
        finished = sum(run.status is Status.SUCCEEDED for run in group.runs)
        row[SEEDS] = f"{finished} of {len(group.runs)}"
        for column, label in labels.items():
            row[label] = (BEST if place in top[column] else "") + cell(means[column][place], seeds=finished)
            if deltas and any(found.baselines):
                row[f"Δ {label}"] = "baseline" if found.is_baseline(group) else "no baseline" if baseline is None \
                    else cell(difference(group, baseline, column), seeds=finished, signed=True)
        rows.append(row)
    return pd.DataFrame(rows).fillna("—")


def numbers(found: Comparison, chosen: Sequence[Column], offered: Catalog) -> list[dict[str, Any]]:
    """The same as plain numbers, a row per group and result: what the CSV and JSON files hold."""
    rows = []
    runs = all_runs(found)
    words = {column: (column_label(column, found, offered), higher_is_better(runs, column)) for column in chosen}
    for label, group, baseline in zip(found.labels, found.groups, found.baselines, strict=True):
        for column, (column_words, higher) in words.items():
            mean = mean_over_seeds(group, column)
            change = difference(group, baseline, column) if baseline else None
            rows.append({
                "group": label, **{name: group.settings.get(name) for name in found.varied},
                "runs": " ".join(str(run.id) for run in group.runs), "result": column.result,
                "label": column_words, "data_hash": column.data_hash, "higher_is_better": higher,
                **_parts("", mean), **_parts("difference_", change),
                "baseline": found.labels[found.place_of(baseline)] if baseline else None,
            })
    return rows


def _parts(prefix: str, estimate: Estimate | None) -> dict[str, float | int | None]:
    if estimate is None:
        return {f"{prefix}{name}": None for name in ("mean", "low", "high", "n")}
    return {f"{prefix}mean": estimate.mean, f"{prefix}low": estimate.low, f"{prefix}high": estimate.high,
            f"{prefix}n": estimate.n}


def per_run(found: Comparison, chosen: Sequence[Column], offered: Catalog) -> pd.DataFrame:
    """A row per run with its raw results, as the API gives them."""
    rows = []
    labels = {column: short_label(column, found, offered) for column in chosen}
    for label, group in zip(found.labels, found.groups, strict=True):
        for run in group.runs:
            row: dict[str, Any] = {"run": run.id, "group": label, "seed": run.spec.seed,
                                   "status": status_text(run.status)}
            for column, words in labels.items():
                row[words] = group.value_of(run, column)
            rows.append(row)
    return pd.DataFrame(rows)


def matches(rows: Sequence[Match], found: Comparison, result: Column, offered: Catalog) -> pd.DataFrame:
    """A row per regularizer: what it reaches without losing more accuracy than allowed."""
    label = short_label(result, found, offered)
    table = []
    for row in rows:
        shown: dict[str, str] = {"regularizer": offered.label("regularizer", row.regularizer),
                                 "within the loss": f"{row.within} of {row.candidates}"}
        if row.group is None:
            shown |= {"chosen": "none is within the loss", f"accuracy, {row.selected_on}": "—", "accuracy lost": "—",
                      label: "—", f"Δ {label}": "—"}
        else:
            baseline = found.baselines[found.place_of(row.group)]
            shown |= {
                "chosen": found.labels[found.place_of(row.group)],
                f"accuracy, {row.selected_on}": cell(row.accuracy, seeds=len(row.group.runs)),
                "accuracy lost": number(row.loss), label: cell(row.result, seeds=len(row.group.runs)),
                f"Δ {label}": cell(difference(row.group, baseline, result) if baseline else None,
                                   seeds=len(row.group.runs), signed=True),
            }
        table.append(shown)
    return pd.DataFrame(table)


def all_runs(found: Comparison) -> list[Run]:
    return [run for group in found.groups for run in group.runs]
