"""`densitylab runs`, `show`, `wait` and `cancel`."""

import argparse
import itertools
import sys
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from backend.shared.contracts import BulkAction, BulkRequest, Run, Status
from frontend.client import ApiClient
from frontend.command_line.outcome import DONE, FAILED, INTERRUPTED, tell_unsuccessful
from frontend.comparison import HEADLINES
from frontend.plain_text import aligned
from frontend.progress_line import ProgressLine
from frontend.words import duration, measured, number

_FILTERS = ("experiment", "status", "dataset", "model", "regularizer", "tag", "q", "archived", "sort")
_WORDS = 7  # columns before the numbers
_LOG_LINES = 10
_RUNS: TypeAdapter[list[Run]] = TypeAdapter(list[Run])


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    listing = commands.add_parser("runs", parents=[common], help="list runs, newest first")
    listing.add_argument("--experiment", type=int)
    listing.add_argument("--status", choices=[status.value for status in Status])
    for name in ("dataset", "model", "regularizer", "tag"):
        listing.add_argument(f"--{name}")
    listing.add_argument("--search", dest="q", help="in notes, tags and keys")
    listing.add_argument("--archived", action="store_true", help="those that are archived, and not the others")
    listing.add_argument("--sort", help="id, created_at, status, progress, lambda_, results.NAME or metrics.NAME; "
                                        "--sort=-NAME: descending")
    listing.add_argument("--limit", type=int, default=50, help="at most so many (default 50); 0: all")
    form = listing.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as the API gives them")
    form.add_argument("--csv", action="store_true", help="every run that matches, with every part of its spec")
    listing.set_defaults(act=list_runs)

    show = commands.add_parser("show", parents=[common], help="one run with its results")
    show.add_argument("run", type=int)
    show.add_argument("--json", action="store_true", help="as the API gives it")
    show.set_defaults(act=show_run)

    wait = commands.add_parser("wait", parents=[common], help="wait until runs are trained and measured")
    _add_subject(wait)
    wait.add_argument("--timeout", type=float, metavar="SECONDS", help="then end with exit code 4; the runs go on")
    wait.set_defaults(act=wait_for)

    cancel = commands.add_parser("cancel", parents=[common], help="stop runs; their checkpoints are kept")
    _add_subject(cancel)
    cancel.set_defaults(act=cancel_runs)


def _add_subject(command: argparse.ArgumentParser) -> None:
    subject = command.add_mutually_exclusive_group(required=True)
    subject.add_argument("runs", type=int, nargs="*", metavar="RUN", default=[])
    subject.add_argument("--experiment", type=int, help="all its runs")


def list_runs(client: ApiClient, given: argparse.Namespace) -> int:
    wanted = {name: getattr(given, name) for name in _FILTERS}
    if given.csv:
        print(client.runs_csv(**wanted), end="")
        return DONE
    every = client.every(client.runs, **wanted, limit=min(given.limit or 200, 200))
    found = list(itertools.islice(every, given.limit or None))
    if given.json:
        print(run_json(found))
    else:
        print(run_table(found) if found else "No run matches.")
    return DONE


def run_json(runs: list[Run]) -> str:
    return _RUNS.dump_json(runs, indent=1).decode()


def run_table(runs: Sequence[Run]) -> str:
    """A row per run: what it is, how far, and the main results that any of them has."""
    results = [name for name in HEADLINES if any(name in run.results for run in runs)]
    rows = [["run", "experiment", "status", "data", "model", "regularizer", "progress", "λ", "seed", *results]]
    for run in runs:
        values = [run.results[name].value if name in run.results else None for name in results]
        rows.append([str(run.id), str(run.experiment), run.status.value, run.spec.dataset.key, run.spec.model.key,
                     run.spec.regularizer.key, f"{run.progress:.0%}", f"{run.spec.lambda_:g}", str(run.spec.seed),
                     *map(number, values)])
    return aligned(rows, left=range(2, _WORDS - 1))


def show_run(client: ApiClient, given: argparse.Namespace) -> int:
    run = client.run(given.run)
    if given.json:
        print(run.model_dump_json(indent=1))
        return DONE
    spec = run.spec
    lines = {
        "run": f"{run.id} of experiment {run.experiment}",
        "status": run.status.value + (f", {run.stage}" if run.stage else ""),
        "progress": f"{run.progress:.0%}" + (f", {duration(run.eta_seconds)} left" if run.eta_seconds else ""),
        "queue": f"place {run.queue_position}, priority {run.priority}" if run.queue_position else "",
        "spec": f"{spec.dataset.key}, {spec.model.key}, {spec.regularizer.key}, λ = {spec.lambda_:g}, "
                f"seed {spec.seed}, {spec.epochs} epochs",
        "device": run.device or "", "tags": " ".join(run.tags), "notes": run.notes, "error": run.error or "",
    }
    lines |= {name: measured(value) for name, value in run.results.items()}
    width = max(len(name) for name, text in lines.items() if text)
    for name, text in lines.items():
        if text:
            print(f"{name:<{width}}  {text}")
    for flag in run.flags:
        print(f"! {flag.text}")
    if run.status is Status.FAILED:
        print("\nThe end of its log:")
        for line in client.log(run.id, limit=_LOG_LINES):
            print(f"{line.at:%H:%M:%S} {line.level:<7} {line.text}")
    return DONE


def wait_for(client: ApiClient, given: argparse.Namespace) -> int:
    try:
        runs = client.wait(given.experiment, runs=given.runs or None, timeout=given.timeout,
                           progress=ProgressLine(sys.stderr))
    except KeyboardInterrupt:
        print("\nThe runs go on.", file=sys.stderr)
        return INTERRUPTED
    print(run_table(runs) if runs else "The experiment has no runs any more.")
    return tell_unsuccessful(runs)


def cancel_runs(client: ApiClient, given: argparse.Namespace) -> int:
    if given.experiment is None:
        wanted = given.runs
    else:
        client.experiment(given.experiment)
        wanted = [run.id for run in client.runs_of(given.experiment) if not run.status.final]
    if not wanted:
        print("Nothing of it is queued or running.")
        return DONE
    answer = client.act_on_runs(BulkRequest(action=BulkAction.CANCEL, runs=wanted))
    for outcome in answer.outcomes:
        print(f"Run {outcome.run}: {'is told to stop' if outcome.done else outcome.detail}",
              file=sys.stdout if outcome.done else sys.stderr)
    return FAILED if answer.refused else DONE
