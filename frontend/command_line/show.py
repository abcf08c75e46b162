"""`densitylab show`."""

import argparse
from collections.abc import Sequence

from densitylab.backend.shared.contracts import Origin, Run, Status
from densitylab.frontend.analysis.formatting import with_interval
from densitylab.frontend.analysis.origins import ORIGINS
from densitylab.frontend.client import ApiClient
from densitylab.frontend.client.durations import duration
from densitylab.frontend.command_line import client_command
from densitylab.frontend.command_line.data_output import write_data
from densitylab.frontend.command_line.outcome import DONE
from densitylab.frontend.command_line.parser import Parser

_LOG_LINES = 10


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="densitylab show", description="Show one run with its results.", parents=[client_command.url_option()]
    )
    parser.add_argument("run", type=int, metavar="RUN", help="id of the run")
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    return client_command.run(act, parser.parse_args(arguments))


def act(client: ApiClient, given: argparse.Namespace) -> int:
    run = client.run(given.run)
    if given.json:
        write_data(run.model_dump_json(indent=1) + "\n")
        return DONE
    spec = run.spec
    lines = {
        "run": f"{run.id} of experiment {run.experiment}",
        "name": run.name or "",
        "status": run.status.value + (f", {run.stage}" if run.stage else ""),
        "progress": f"{run.progress:.0%}" + (f", {duration(run.eta_seconds)} left" if run.eta_seconds else ""),
        "queue": f"#{run.queue_position}, priority {run.priority}" if run.queue_position else "",
        "spec": f"{spec.dataset.key}, {spec.model.key}, " + _training(run),
        "device": run.device or "",
        "tags": " ".join(run.tags),
        "notes": run.notes,
        "error": run.error or "",
    }
    lines |= {name: with_interval(value) for name, value in run.results.items()}
    width = max(len(name) for name, text in lines.items() if text)
    for name, text in lines.items():
        if text:
            print(f"{name:<{width}}  {text}")
    for flag in run.flags:
        print(f"! {flag.text}")
    if run.status is Status.FAILED:
        print("\nLast lines of the log:")
        for line in client.log(run.id, limit=_LOG_LINES):
            print(f"{line.at:%H:%M:%S} {line.level:<7} {line.text}")
    return DONE


def _training(run: Run) -> str:
    """Return the settings of the training, or where the model was trained."""
    spec = run.spec
    if run.origin is not Origin.TRAINED:
        stated = "" if run.lambda_ is None else f", λ = {run.lambda_:g}"
        return f"{ORIGINS[run.origin]}: {run.source_name}{stated}"
    epochs = f"{spec.epochs} {'epoch' if spec.epochs == 1 else 'epochs'}"
    return f"{spec.regularizer.key}, λ = {spec.lambda_:g}, seed {spec.seed}, {epochs}"
