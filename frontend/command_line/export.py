"""`densitylab export`."""

import argparse
import io
import json
import sys
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from densitylab.frontend.analysis.csv_table import to_csv
from densitylab.frontend.analysis.formatting import size
from densitylab.frontend.client import ApiClient, to_dataframe
from densitylab.frontend.client.exporting import Tracker
from densitylab.frontend.command_line import client_command
from densitylab.frontend.command_line.outcome import DONE, WrongInput
from densitylab.frontend.command_line.parser import Parser

_TEXT = ("csv", "json")  # can be printed to a terminal
_TRACKERS = get_args(Tracker)  # written as a folder


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="densitylab export",
        description="Write an experiment to a file or to a folder that another tracker reads, or a run's model to a "
        "folder.",
        parents=[client_command.url_option()],
    )
    parser.add_argument("experiment", type=int, metavar="ID", help="id of the experiment; with --model, of the run")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--model",
        type=Path,
        metavar="FOLDER",
        help="write the run's model into this folder: weights, config, model card, spec, ONNX and torch.export files; "
        "densitylab.load_model loads it, and the Hugging Face Hub takes it as it is",
    )
    what.add_argument(
        "--format",
        choices=["csv", "json", "html", "zip", "paper", *_TRACKERS],
        help="csv: a row per run; json: the experiment, its runs and their evaluations; html: the report, which works "
        "offline; zip: all of these, and every training curve as CSV; paper: a zip archive with LaTeX tables, figures "
        "and BibTeX; mlflow, tensorboard, wandb: the files of that "
        "tracker, in a new folder",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="file, or folder of a tracker; default: standard output"
    )
    return client_command.run(act, parser.parse_args(arguments))


def act(client: ApiClient, given: argparse.Namespace) -> int:
    if given.model is not None:
        return _model(client, given)
    if given.format in _TRACKERS:
        return _to_tracker(client, given)
    if given.output is None and given.format not in _TEXT and sys.stdout.isatty():
        raise WrongInput(f"{given.format} cannot be printed to a terminal: name a file with --output.")
    client.experiment(given.experiment)  # raises ApiError where there is none
    content = {"csv": _csv, "json": _json, "html": _html, "zip": _zip, "paper": _paper}[given.format](
        client, given.experiment
    )
    if given.output is None:
        sys.stdout.buffer.write(content)
    else:
        given.output.write_bytes(content)
    return DONE


def _to_tracker(client: ApiClient, given: argparse.Namespace) -> int:
    if given.output is None:
        raise WrongInput(f"{given.format} is written as a folder: name a new one with --output.")
    try:
        runs = client.export_runs(given.format, given.output, experiment=given.experiment)
    except ImportError as error:
        raise WrongInput(str(error)) from None
    print(f"{given.output}: {len(runs)} {'run' if len(runs) == 1 else 'runs'}")
    return DONE


def _model(client: ApiClient, given: argparse.Namespace) -> int:
    with warnings.catch_warnings(record=True) as problems:
        warnings.simplefilter("always", UserWarning)
        folder = client.export(given.experiment, given.model)
    for problem in problems:
        print(problem.message, file=sys.stderr)
    for file in sorted(folder.iterdir()):
        print(f"{file}  {size(file.stat().st_size)}")
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
    # Imports plotly, which the other formats do not need
    from densitylab.frontend.report.experiment_report import report

    return report(client, experiment).encode()


def _paper(client: ApiClient, experiment: int) -> bytes:
    # Imports what the other formats do not need
    from densitylab.frontend.paper.bundle import bundle
    from densitylab.frontend.paper.comparison import collect_experiment

    return bundle(collect_experiment(client, experiment), client.catalog())


def _zip(client: ApiClient, experiment: int) -> bytes:
    series = [item for run in client.runs_of(experiment) for item in client.metrics(run.id)]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        name = f"experiment-{experiment}"
        archive.writestr(f"{name}/runs.csv", _csv(client, experiment))
        archive.writestr(f"{name}/experiment.json", _json(client, experiment))
        archive.writestr(f"{name}/curves.csv", to_csv(to_dataframe(series)))
        archive.writestr(f"{name}/report.html", _html(client, experiment))
    return file.getvalue()
