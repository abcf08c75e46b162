"""`python -m frontend.demo`: launches the default λ experiment on a running system and prints what it finds."""

import os
import sys
import time

from backend.shared.contracts import Status
from frontend.aggregate import baseline_for, difference, mean_over_seeds
from frontend.catalog import Catalog
from frontend.client import ApiError, connect
from frontend.comparison import HEADLINES, Comparison, column_label, compare, setting_label, setting_text, text
from frontend.plain_text import aligned
from frontend.presets import DEMO
from frontend.progress_line import ProgressLine

DEFAULT_PAGE = "http://127.0.0.1:8501"


def main() -> int:
    try:
        client = connect()
        experiment = client.launch(DEMO.request)
        print(f"{DEMO.label}: {len(experiment.runs)} runs at {client.url}, about {DEMO.minutes:g} min on two CPU cores")
        started = time.monotonic()
        runs = client.wait(experiment.id, expected_seconds=DEMO.minutes * 60, progress=ProgressLine())
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
    return "\n".join([aligned(rows), "Mean ± half of the 95 % Student-t interval over seeds; Δ: difference from λ = 0, "
                              "paired by seed."])


if __name__ == "__main__":
    sys.exit(main())
