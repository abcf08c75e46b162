"""The comparison in words: what each method reaches at matched accuracy, and all that was measured."""

from collections.abc import Mapping

from benchmarks.markdown import markdown
from frontend.aggregate import Column, Group, mean_over_seeds
from frontend.catalog import Catalog
from frontend.comparison import Comparison, Family
from frontend.selection import strongest_within, validation_accuracy
from frontend.tables import cell

MAX_LOSS = 0.02  # of validation accuracy, against the baseline
RESULTS = {"accuracy.accuracy": "accuracy", "pgd_linf.accuracy": "PGD accuracy", "leakage.l2": "leakage",
           "leakage.share": "leakage share"}


def column(found: Comparison, result: str) -> Column:
    """The one way in which this result was measured."""
    (only,) = [item for item in found.columns if item.result == result]
    return only


def chosen(family: Family) -> Group | None:
    """The family's group of largest λ that keeps the baseline's validation accuracy within the loss."""
    return strongest_within(family.groups, family.origin, max_loss=MAX_LOSS) if family.origin else None


def overview(comparisons: Mapping[str, Comparison], offered: Catalog) -> str:
    """One table: the PGD accuracy of each method on each network, and the λ that the validation images chose."""
    rows: dict[str, dict[str, str]] = {}
    for network, found in comparisons.items():
        for label, group in _choices(found, offered):
            rows.setdefault(label, {})[network] = "–" if group is None else _pgd_and_lambda(group, found)
    return markdown(["method", *comparisons],
                    [[label, *(cells.get(network, "") for network in comparisons)] for label, cells in rows.items()])


def _pgd_and_lambda(group: Group, found: Comparison) -> str:
    mean = cell(mean_over_seeds(group, column(found, "pgd_linf.accuracy")), seeds=len(group.runs))
    return mean if group.is_baseline else f"{mean} (λ {group.settings['lambda_']:g})"


def _choices(found: Comparison, offered: Catalog) -> list[tuple[str, Group | None]]:
    """The baseline, and each method with its group at matched accuracy; None where no λ is within the loss."""
    baselines: list[tuple[str, Group | None]] = [
        (offered.label("regularizer", "none"), group) for group in found.groups if found.is_baseline(group)
    ]
    return baselines + [(family.label, chosen(family)) for family in _in_order(found)]


def matched_accuracy(comparisons: Mapping[str, Comparison], offered: Catalog) -> str:
    """A table per network: each method at the λ that the validation images chose."""
    parts = []
    for network, found in comparisons.items():
        rows = [_row(label, group, found) if group else [label, "none is within the loss", *("" for _ in RESULTS)]
                for label, group in _choices(found, offered)]
        parts += [f"### {network}", "", markdown(["method", "λ", *RESULTS.values()], rows), ""]
    return "\n".join(parts)


def every_lambda(comparisons: Mapping[str, Comparison]) -> str:
    """A table per network: every λ of every method, with the validation accuracy that chose; the choice in bold."""
    parts = []
    for network, found in comparisons.items():
        picked = [chosen(family) for family in found.families]
        rows = []
        for family in _in_order(found):
            for group in family.groups:
                label, lambda_, *results = _row(family.label, group, found)
                strong = "**" if any(group is other for other in picked) else ""
                own = cell(validation_accuracy(group), seeds=len(group.runs))
                rows.append([label, f"{strong}{lambda_}{strong}", own, *results])
        parts += [f"### {network}: every λ", "",
                  markdown(["method", "λ", "validation accuracy", *RESULTS.values()], rows), ""]
    return "\n".join(parts)


def _in_order(found: Comparison) -> list[Family]:
    """By their names, so that the tables of all networks read alike."""
    return sorted(found.families, key=lambda family: family.label)


def _row(label: str, group: Group, found: Comparison) -> list[str]:
    means = (mean_over_seeds(group, column(found, result)) for result in RESULTS)
    return [label, f"{group.settings['lambda_']:g}", *(cell(mean, seeds=len(group.runs)) for mean in means)]
