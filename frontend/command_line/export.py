"""`densitylab export`."""

import argparse
import io
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

from frontend.client import ApiClient, to_dataframe
from frontend.command_line.outcome import DONE, WrongInput

_READABLE = ("csv", "json")  # in a terminal


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    command = commands.add_parser("export", parents=[common], help="an experiment as a file")
    command.add_argument("experiment", type=int)
    command.add_argument(
        "--format", choices=["csv", "json", "html", "zip"], required=True,
        help="csv: a row per run; json: the experiment, its runs and their measures with curves; html: the report, "
             "which needs no network; zip: all of these, and every training curve as CSV",
    )
    command.add_argument("-o", "--output", type=Path, metavar="FILE", help="else standard output")
    command.set_defaults(act=act)


def act(client: ApiClient, given: argparse.Namespace) -> int:
    if given.output is None and given.format not in _READABLE and sys.stdout.isatty():
        raise WrongInput(f"A terminal does not show {given.format}: name a file by --output.")
    client.experiment(given.experiment)  # of one that is not there a table would have no rows
    content = {"csv": _csv, "json": _json, "html": _html, "zip": _zip}[given.format](client, given.experiment)
    if given.output is None:
        sys.stdout.buffer.write(content)
    else:
        given.output.write_bytes(content)
    return DONE


def _csv(client: ApiClient, experiment: int) -> bytes:
    return client.runs_csv(experiment=experiment).encode()


def _json(client: ApiClient, experiment: int) -> bytes:
    runs = client.runs_of(experiment)
    content = {
        "experiment": client.experiment(experiment).model_dump(mode="json"),
        "runs": [run.model_dump(mode="json") for run in runs],
        "evaluations": {run.id: [item.model_dump(mode="json") for item in client.evaluations(run.id)] for run in runs},
    }
    return json.dumps(content, ensure_ascii=False, indent=1).encode()


def _html(client: ApiClient, experiment: int) -> bytes:
    from frontend.report import report  # with the drawing library, which nothing else here needs

    return report(client, experiment).encode()


def _zip(client: ApiClient, experiment: int) -> bytes:
    series = [item for run in client.runs_of(experiment) for item in client.metrics(run.id)]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        name = f"experiment-{experiment}"
        archive.writestr(f"{name}/runs.csv", _csv(client, experiment))
        archive.writestr(f"{name}/experiment.json", _json(client, experiment))
        archive.writestr(f"{name}/curves.csv", to_dataframe(series).to_csv(index=False))
        archive.writestr(f"{name}/report.html", _html(client, experiment))
    return file.getvalue()
