"""`densitylab runs`."""

import argparse
import itertools
from collections.abc import Sequence

from densitylab.backend.shared.contracts import Status, did_you_mean
from densitylab.frontend.client import ApiClient
from densitylab.frontend.client.catalog import Catalog
from densitylab.frontend.command_line import client_command
from densitylab.frontend.command_line.data_output import write_data
from densitylab.frontend.command_line.outcome import DONE, WrongInput
from densitylab.frontend.command_line.parser import Parser
from densitylab.frontend.command_line.run_table import run_json, run_table

_KINDS = ("dataset", "model", "regularizer")
_REPEATED = (*_KINDS, "name", "tag", "owner")
_FILTERS = (*_REPEATED, "experiment", "status", "seed", "where", "q", "archived", "sort")


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="densitylab runs",
        description="List runs, newest first. Of a repeated option, one value is enough; every --where must hold.",
        parents=[client_command.url_option()],
    )
    parser.add_argument("--experiment", type=int, action="append", metavar="ID")
    parser.add_argument("--status", choices=[status.value for status in Status], action="append")
    for name in _REPEATED:
        parser.add_argument(f"--{name}", action="append")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument(
        "--where",
        action="append",
        metavar="CONDITION",
        help="such as 'results.accuracy.accuracy>=0.9' or 'spec.epochs>10', in quotes",
    )
    parser.add_argument("--search", dest="q", metavar="TEXT", help="in names, notes, tags and keys")
    parser.add_argument("--archived", action="store_true", help="archived runs instead of the others")
    parser.add_argument(
        "--sort",
        help="id, created_at, status, progress, lambda_, results.NAME or metrics.NAME; --sort=-NAME: descending",
    )
    parser.add_argument("--limit", type=int, default=50, help="number of runs (default 50); 0: all")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the API's answer")
    form.add_argument("--csv", action="store_true", help="print every matching run with its whole spec")
    return client_command.run(act, parser.parse_args(arguments))


def act(client: ApiClient, given: argparse.Namespace) -> int:
    filters = {name: getattr(given, name) for name in _FILTERS}
    if given.csv:
        write_data(client.runs_csv(**filters))
        return DONE
    every = client.every(client.runs, **filters, limit=min(given.limit or 200, 200))
    runs = list(itertools.islice(every, given.limit or None))
    if not runs:
        _require_known(client.catalog(), given)
    if given.json:
        write_data(run_json(runs) + "\n")
    else:
        print(run_table(runs, client.catalog()) if runs else "No run matches.")
    return DONE


def _require_known(catalog: Catalog, given: argparse.Namespace) -> None:
    """Raise WrongInput if a filter names an entry that the catalog does not have."""
    for kind in _KINDS:
        offered = [entry.key for entry in catalog.entries(kind)]
        for key in getattr(given, kind) or ():
            if key not in offered:
                raise WrongInput(f"--{kind} {key}: there is none of this name{did_you_mean(key, offered)}")
