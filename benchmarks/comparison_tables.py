"""Tables of the comparison: each method at its selected λ, and every λ."""

from collections.abc import Mapping

from benchmarks.markdown import markdown
from densitylab.backend.shared.statistics.groups import Column, Group, mean_over_seeds
from densitylab.backend.shared.statistics.selection import Selection, is_validation, select, validation_accuracy
from densitylab.backend.shared.statistics.selection_text import edge_text, selection_text
from densitylab.frontend.analysis.comparison import Comparison, Family
from densitylab.frontend.analysis.tables import cell
from densitylab.frontend.client.catalog import Catalog

MAX_LOSS = 0.02  # largest loss of validation accuracy against the baseline
PGD_ACCURACY = "pgd_linf.accuracy"
EDGE = " †"  # the λ lies at an end of its grid
RESULTS = {
    "accuracy.accuracy": "accuracy",
    "pgd_linf.accuracy": "PGD accuracy",
    "leakage.l2": "leakage",
    "leakage.share": "leakage share",
}


def column(comparison: Comparison, result: str) -> Column:
    """Return the only column of this result on test images; all runs were evaluated with the same parameters."""
    (only,) = [item for item in comparison.columns if item.result == result and not is_validation(item)]
    return only


def selected(comparison: Comparison) -> dict[str, Selection]:
    """Return the selected λ of each method by its label, for the best PGD accuracy within the budget of accuracy."""
    rows = select(comparison.groups, column(comparison, PGD_ACCURACY), higher=True, max_loss=MAX_LOSS)
    labels = {id(family.groups[0]): family.label for family in comparison.families}
    return {labels[id(row.method.groups[0])]: row for row in rows}


def overview(comparisons: Mapping[str, Comparison], catalog: Catalog) -> str:
    """Return one table: PGD accuracy of each method on each network, at the λ selected on validation data."""
    rows: dict[str, dict[str, str]] = {}
    for network, comparison in comparisons.items():
        edges = {label: row.edge for label, row in selected(comparison).items()}
        for label, group in _choices(comparison, catalog):
            mark = EDGE if edges.get(label) else ""
            rows.setdefault(label, {})[network] = "–" if group is None else _pgd_and_lambda(group, comparison, mark)
    return markdown(
        ["method", *comparisons],
        [[label, *(cells.get(network, "") for network in comparisons)] for label, cells in rows.items()],
    )


def _pgd_and_lambda(group: Group, comparison: Comparison, mark: str) -> str:
    mean = cell(mean_over_seeds(group, column(comparison, PGD_ACCURACY)), seeds=len(group.runs))
    return mean if group.is_baseline else f"{mean} (λ {group.settings['lambda_']:g}{mark})"


def _choices(comparison: Comparison, catalog: Catalog) -> list[tuple[str, Group | None]]:
    """Return the baseline, and each method with the group of its selected λ; None where every λ costs more."""
    baselines: list[tuple[str, Group | None]] = [
        (catalog.label("regularizer", "none"), group) for group in comparison.groups if comparison.is_baseline(group)
    ]
    rows = selected(comparison)
    return baselines + [(label, rows[label].group) for label in sorted(rows)]


def matched_accuracy(comparisons: Mapping[str, Comparison], catalog: Catalog) -> str:
    """Return a table per network: each method at its selected λ, with its candidates, and how the λ were selected."""
    parts = []
    for network, comparison in comparisons.items():
        choices = selected(comparison)
        rows = []
        for label, group in _choices(comparison, catalog):
            row = choices.get(label)
            figures = _row(label, group, comparison) if group else [label, "no λ within budget", *("" for _ in RESULTS)]
            rows.append([*figures, *([f"{row.within} of {row.candidates}", edge_text(row.edge)] if row else ["", ""])])
        header = ["method", "λ", *RESULTS.values(), "λ within budget", "note"]
        parts += [f"### {network}", "", markdown(header, rows), "", selection_text(list(choices.values())), ""]
    return "\n".join(parts)


def every_lambda(comparisons: Mapping[str, Comparison]) -> str:
    """Return a table per network: every λ of every method with its validation accuracy; the selected λ in bold."""
    parts = []
    for network, comparison in comparisons.items():
        picked = [row.group for row in selected(comparison).values()]
        rows = []
        for family in _in_order(comparison):
            for group in family.groups:
                label, lambda_, *results = _row(family.label, group, comparison)
                strong = "**" if any(group is other for other in picked) else ""
                own = cell(validation_accuracy(group), seeds=len(group.runs))
                rows.append([label, f"{strong}{lambda_}{strong}", own, *results])
        parts += [
            f"### {network}: every λ",
            "",
            markdown(["method", "λ", "validation accuracy", *RESULTS.values()], rows),
            "",
        ]
    return "\n".join(parts)


def _in_order(comparison: Comparison) -> list[Family]:
    """Sort by label, so that all tables have the same order."""
    return sorted(comparison.families, key=lambda family: family.label)


def _row(label: str, group: Group, comparison: Comparison) -> list[str]:
    means = (mean_over_seeds(group, column(comparison, result)) for result in RESULTS)
    return [label, f"{group.settings['lambda_']:g}", *(cell(mean, seeds=len(group.runs)) for mean in means)]
