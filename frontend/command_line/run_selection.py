"""The arguments that name some runs, or all runs of an experiment."""

import argparse


def add_run_selection(parser: argparse.ArgumentParser) -> None:
    """Add `RUN ...` and `--experiment`, of which one is required."""
    selection = parser.add_mutually_exclusive_group(required=True)
    selection.add_argument("runs", type=int, nargs="*", metavar="RUN", default=[], help="ids of runs")
    selection.add_argument("--experiment", type=int, metavar="ID", help="all runs of this experiment")
