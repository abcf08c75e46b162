"""Runs as a table or as JSON."""

from collections.abc import Sequence

from pydantic import TypeAdapter

from densitylab.backend.shared.contracts import Run
from densitylab.frontend.analysis.formatting import number, run_flags
from densitylab.frontend.analysis.origins import lambda_of, seed_of
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.command_line.plain_text import aligned

_FIRST_TEXT, _TEXTS = 2, 4  # columns aligned at the left, without the names
_RUNS: TypeAdapter[list[Run]] = TypeAdapter(list[Run])


def run_json(runs: list[Run]) -> str:
    """Return the runs as the API gives them."""
    return _RUNS.dump_json(runs, indent=1).decode()


def run_table(runs: Sequence[Run], catalog: Catalog) -> str:
    """Return a row per run: its name, its settings, its progress, the headline results that any of the runs has, and
    flags."""
    results = [name for name in catalog.headlines() if any(name in run.results for run in runs)]
    flagged, named = any(map(run_flags, runs)), any(run.name for run in runs)
    rows = [["run", "experiment", *["name"] * named, "status", "data", "model", "regularizer", "progress", "λ", "seed"]]
    rows[0] += [*results, *["flags"] * flagged]
    for run in runs:
        values = [run.results[name].value if name in run.results else None for name in results]
        rows.append(
            [
                str(run.id),
                str(run.experiment),
                *[run.name or ""] * named,
                run.status.value,
                run.spec.dataset.key,
                run.spec.model.key,
                run.spec.regularizer.key,
                f"{run.progress:.0%}",
                "—" if (lambda_ := lambda_of(run)) is None else f"{lambda_:g}",
                "—" if (seed := seed_of(run)) is None else str(seed),
                *map(number, values),
                *[", ".join(run_flags(run))] * flagged,
            ]
        )
    return aligned(rows, left=range(_FIRST_TEXT, _FIRST_TEXT + _TEXTS + named))
