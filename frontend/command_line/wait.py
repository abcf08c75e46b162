"""`densitylab wait`."""

import argparse
import sys
from collections.abc import Sequence

from densitylab.frontend.client import ApiClient
from densitylab.frontend.command_line import client_command
from densitylab.frontend.command_line.outcome import INTERRUPTED, report_unsuccessful
from densitylab.frontend.command_line.parser import Parser
from densitylab.frontend.command_line.progress_line import ProgressLine
from densitylab.frontend.command_line.run_selection import add_run_selection
from densitylab.frontend.command_line.run_table import run_table


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="densitylab wait",
        description="Wait until runs are trained and evaluated, then print their results.",
        parents=[client_command.url_option()],
    )
    add_run_selection(parser)
    parser.add_argument(
        "--timeout", type=float, metavar="SECONDS", help="then stop waiting with exit code 4; the runs continue"
    )
    return client_command.run(act, parser.parse_args(arguments))


def act(client: ApiClient, given: argparse.Namespace) -> int:
    try:
        runs = client.wait(
            given.experiment, runs=given.runs or None, timeout=given.timeout, progress=ProgressLine(sys.stderr)
        )
    except KeyboardInterrupt:
        print("\nThe runs go on.", file=sys.stderr)
        return INTERRUPTED
    print(run_table(runs, client.catalog()) if runs else "The experiment has no runs any more.")
    return report_unsuccessful(client, runs)
