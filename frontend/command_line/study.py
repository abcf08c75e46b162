"""`densitylab study`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from densitylab.backend.shared.contracts.studies import StudySizeName
from densitylab.frontend.client import ApiError, connect
from densitylab.frontend.command_line import client_command
from densitylab.frontend.command_line.parser import Parser
from densitylab.frontend.command_line.study_report import WRITERS, report_study
from densitylab.frontend.command_line.study_run import run_study
from densitylab.frontend.command_line.study_status import show_status

_SIZES = get_args(StudySizeName)


def main(arguments: Sequence[str]) -> int:
    common = client_command.url_option()
    parser = Parser(
        prog="densitylab study",
        description="Run a study of the catalog: experiments that answer a question, with tables and claims.",
    )
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    run = actions.add_parser(
        "run",
        parents=[common],
        help="launch a study, wait for it and print its claims and tables",
        description="Launch a study, wait for it and print its claims and tables. A study that has been launched "
        "before, of the same version, size and data sets, goes on, or is printed if it has finished.",
    )
    key = run.add_argument("key", metavar="KEY", help="key of the study, such as leakage")
    key.completer = _keys  # type: ignore[attr-defined]
    run.add_argument("--size", choices=_SIZES, default="minutes", help="its size (default minutes)")
    run.add_argument(
        "--dataset",
        type=_replacement,
        action="append",
        dest="datasets",
        metavar="KEY=OTHER",
        default=[],
        help="take another data set in place of the study's own, such as cifar10=my_key; can be repeated",
    )
    run.add_argument("--new", action="store_true", help="launch it again, even if it has been launched before")
    run.add_argument("--yes", action="store_true", help="launch without a question")
    run.set_defaults(act=run_study)
    status = actions.add_parser("status", parents=[common], help="list the studies launched, or show one")
    status.add_argument("study", type=int, nargs="?", metavar="ID", help="number of the study; default: all")
    status.set_defaults(act=show_status)
    report = actions.add_parser("report", parents=[common], help="print a study's claims and tables, or write a report")
    report.add_argument("study", type=int, metavar="ID", help="number of the study")
    report.add_argument("--out", type=Path, metavar="FILE", help=f"write a file: {', '.join(WRITERS)}")
    report.add_argument("--json", action="store_true", help="print the API's answer")
    report.set_defaults(act=report_study)
    given = parser.parse_args(arguments)
    return client_command.run(given.act, given)


def _replacement(text: str) -> tuple[str, str]:
    own, equals, other = text.partition("=")
    if not own or not equals or not other:
        raise argparse.ArgumentTypeError(f"expected KEY=OTHER, such as cifar10=my_key; got {text!r}")
    return own, other


def _keys(**_: object) -> list[str]:
    """Return the keys of the studies on offer, for the completion of a shell; none where no system answers."""
    try:
        with connect(patience=0.5) as client:
            return [entry.key for entry in client.catalog().entries("study")]
    except ApiError:
        return []
