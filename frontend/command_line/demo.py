"""`densitylab demo`."""

import argparse
import os
import sys
import time
from collections.abc import Sequence

from densitylab.backend.shared.statistics.groups import baseline_for, difference, mean_over_seeds
from densitylab.frontend.analysis.comparison import (
    Comparison,
    column_label,
    compare,
    headline_columns,
    text,
)
from densitylab.frontend.analysis.setting_names import setting_label
from densitylab.frontend.client import ApiClient
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.client.presets import DEMO
from densitylab.frontend.command_line import client_command
from densitylab.frontend.command_line.outcome import INTERRUPTED, report_unsuccessful
from densitylab.frontend.command_line.parser import Parser
from densitylab.frontend.command_line.plain_text import aligned
from densitylab.frontend.command_line.progress_line import ProgressLine

DEFAULT_PAGE = "http://127.0.0.1:8501"


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="densitylab demo",
        description="Launch the demo experiment, a sweep over λ, on a running system and print its results.",
        parents=[client_command.url_option()],
    )
    return client_command.run(act, parser.parse_args(arguments))


def act(client: ApiClient, given: argparse.Namespace) -> int:
    experiment = client.launch(DEMO.request)
    print(f"{DEMO.label}: {len(experiment.runs)} runs at {client.url}, about {DEMO.minutes:g} min on two CPU cores")
    started = time.monotonic()
    try:
        runs = client.wait(experiment.id, expected_seconds=DEMO.minutes * 60, progress=ProgressLine())
    except KeyboardInterrupt:
        print("\nThe runs go on.", file=sys.stderr)
        return INTERRUPTED
    catalog = client.catalog()
    print(f"Done in {(time.monotonic() - started) / 60:.1f} min\n")
    print(table(compare(runs, catalog), catalog))
    print(f"\nCurves, trade-offs and maps: {page_url()}/compare?experiment={experiment.id}")
    return report_unsuccessful(client, runs)


def page_url() -> str:
    """Return the page's address by the settings of `densitylab up`."""
    public = os.environ.get("DENSITYLAB_PUBLIC_URL", "").rstrip("/")
    host = os.environ.get("DENSITYLAB_UI_HOST") or "127.0.0.1"
    port = os.environ.get("DENSITYLAB_UI_PORT")
    return public or (f"http://{host}:{port}" if port else DEFAULT_PAGE)


def table(comparison: Comparison, catalog: Catalog) -> str:
    """Return a row per λ: mean ± half of the 95 % t interval over seeds, and below it the change from the baseline."""
    columns = headline_columns(comparison, catalog)
    rows = [
        [
            *(setting_label(name, comparison.groups[0].settings, catalog) for name in comparison.varied),
            "seeds",
            *(column_label(column, comparison, catalog) for column in columns),
        ]
    ]
    for group in comparison.groups:
        baseline = baseline_for(group, comparison.groups)
        rows.append(
            [
                *(comparison.setting_text(name, group, catalog) for name in comparison.varied),
                str(len(group.runs)),
                *(text(mean_over_seeds(group, column)) for column in columns),
            ]
        )
        if baseline is not None:
            changes = (text(difference(group, baseline, column), signed=True) for column in columns)
            rows.append([*("" for _ in comparison.varied), "Δ", *changes])
    return "\n".join(
        [
            aligned(rows),
            "Mean ± half of the 95 % Student-t interval over seeds; Δ: difference from λ = 0, paired by seed.",
        ]
    )
