"""`python -m frontend.demo`: launches the default λ experiment on a running system and prints what it finds."""

import os
import sys
import time
from collections.abc import Sequence

from backend.shared.contracts import Evaluation, Run, Status
from frontend.aggregate import baseline_for, difference, mean_over_seeds
from frontend.catalog import Catalog
from frontend.client import ApiClient, ApiError, connect
from frontend.comparison import HEADLINES, Comparison, column_label, compare, setting_label, setting_text, text
from frontend.presets import DEMO
from frontend.words import duration

DEFAULT_API, DEFAULT_PAGE = "http://127.0.0.1:8000", "http://127.0.0.1:8501"
POLL_SECONDS = 1.0
_TRAINING = 0.6  # share of a run's time, the rest goes to its measures


def main() -> int:
    url = os.environ.get("DENSITYLAB_API_URL") or DEFAULT_API
    client = connect(url, os.environ.get("DENSITYLAB_API_TOKEN"))
    try:
        experiment = client.launch(DEMO.request)
        print(f"{DEMO.label}: {len(experiment.runs)} runs at {url}, about {DEMO.minutes:g} min on two CPU cores")
        started = time.monotonic()
        runs = wait(client, experiment.id, minutes=DEMO.minutes)
        offered = client.catalog()
    except ApiError as error:
        print(error, file=sys.stderr)
        for item in error.errors:
            print(f"  {item.pointer}: {item.detail}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe runs go on without this window.", file=sys.stderr)
        return 130
    print(f"Done in {(time.monotonic() - started) / 60:.1f} min\n")
    print(table(compare(runs, offered), offered))
    host = os.environ.get("DENSITYLAB_UI_HOST") or "127.0.0.1"
    port = os.environ.get("DENSITYLAB_UI_PORT")
    page = f"http://{host}:{port}" if port else DEFAULT_PAGE
    print(f"\nCurves, trade-offs and maps: {page}/compare?experiment={experiment.id}")
    failed = [run for run in runs if run.status is not Status.SUCCEEDED]
    for run in failed:
        print(f"Run {run.id} {run.status.value}: {run.error or 'no reason given'}", file=sys.stderr)
    return 1 if failed else 0


def wait(
    client: ApiClient, experiment: int, *, minutes: float, poll_seconds: float = POLL_SECONDS
) -> list[Run]:
    """The runs, once all are trained and measured; says meanwhile how far they are, from `minutes` at first."""
    began = said = time.monotonic()
    measures: dict[int, list[Evaluation]] = {}
    while True:
        runs = client.runs_of(experiment)
        for run in runs:
            known = measures.get(run.id)
            if run.status.final and (known is None or not all(item.status.final for item in known)):
                measures[run.id] = client.evaluations(run.id)
        done = sum(_done(run, measures.get(run.id)) for run in runs) / len(runs)
        ended = done == 1.0
        line = _progress(runs, done, time.monotonic() - began, minutes)
        if sys.stdout.isatty():
            print(f"\r{line:<70}", end="\n" if ended else "", flush=True)
        elif ended or time.monotonic() - said > 15:  # a file needs no line a second
            said = time.monotonic()
            print(line, flush=True)
        if ended:
            return runs
        time.sleep(poll_seconds)


def _done(run: Run, measures: Sequence[Evaluation] | None) -> float:
    """Share of a run's work that is over: the training, then each measure."""
    if measures is None:
        return run.progress * _TRAINING
    if all(item.status.final for item in measures):
        return 1.0
    measured = sum(1.0 if item.status.final else item.progress for item in measures) / len(measures)
    return _TRAINING + (1 - _TRAINING) * measured


def _progress(runs: Sequence[Run], done: float, seconds: float, minutes: float) -> str:
    trained = sum(run.status is Status.SUCCEEDED for run in runs)
    # From the share that is over; at first from the figure measured beforehand
    left = seconds * (1 - done) / done if done > 0.02 else max(minutes * 60 - seconds, 0)
    return f"{done:4.0%}  {trained} of {len(runs)} trained, about {duration(left)} left"


def table(found: Comparison, offered: Catalog) -> str:
    """A row per λ: mean ± half of the 95 % t interval over seeds, and the difference from the baseline below it."""
    columns = [column for column in found.columns if column.result in HEADLINES]
    rows = [[*(setting_label(name, found.groups[0], offered) for name in found.varied), "seeds",
             *(column_label(column, found, offered) for column in columns)]]
    for group in found.groups:
        baseline = baseline_for(group, found.groups)
        rows.append([*(setting_text(name, group, offered) for name in found.varied), str(len(group.runs)),
                     *(text(mean_over_seeds(group, column)) for column in columns)])
        if baseline is not None:
            changes = (text(difference(group, baseline, column), signed=True) for column in columns)
            rows.append([*("" for _ in found.varied), "Δ", *changes])
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*lines, "Mean ± half of the 95 % Student-t interval over seeds; Δ: difference from λ = 0, "
                              "paired by seed."])


if __name__ == "__main__":
    sys.exit(main())
