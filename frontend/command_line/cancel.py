"""`densitylab cancel`."""

import argparse
import sys
from collections.abc import Sequence

from densitylab.backend.shared.contracts import BulkAction, BulkRequest
from densitylab.frontend.client import ApiClient
from densitylab.frontend.command_line import client_command
from densitylab.frontend.command_line.outcome import DONE, FAILED
from densitylab.frontend.command_line.parser import Parser
from densitylab.frontend.command_line.run_selection import add_run_selection


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="densitylab cancel",
        description="Stop runs. Their checkpoints are kept.",
        parents=[client_command.url_option()],
    )
    add_run_selection(parser)
    return client_command.run(act, parser.parse_args(arguments))


def act(client: ApiClient, given: argparse.Namespace) -> int:
    if given.experiment is None:
        runs = given.runs
    else:
        client.experiment(given.experiment)
        runs = [run.id for run in client.runs_of(given.experiment) if not run.status.final]
    if not runs:
        print("No run of it is queued or running.")
        return DONE
    answer = client.act_on_runs(BulkRequest(action=BulkAction.CANCEL, runs=runs))
    for outcome in answer.outcomes:
        print(
            f"Run {outcome.run}: {'stopping' if outcome.done else outcome.detail}",
            file=sys.stdout if outcome.done else sys.stderr,
        )
    return FAILED if answer.refused else DONE
