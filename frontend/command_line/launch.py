"""`densitylab launch`."""

import argparse
import sys
from typing import Any

from backend.shared.contracts import Experiment, Preflight
from frontend.client import ApiClient
from frontend.command_line.outcome import DONE, FAILED, INTERRUPTED, tell_unsuccessful
from frontend.command_line.runs import run_json, run_table
from frontend.command_line.spec_file import read_spec
from frontend.progress_line import ProgressLine
from frontend.words import duration, size


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    command = commands.add_parser("launch", parents=[common], help="launch the experiment of a YAML or JSON file")
    command.add_argument("spec", metavar="FILE", help="what POST /api/v1/experiments takes; - for standard input")
    command.add_argument("--name", help="instead of the file's")
    command.add_argument("--dry-run", action="store_true", help="only say what it would cost; nothing is launched")
    command.add_argument("--watch", action="store_true", help="wait for the runs and print their results")
    command.add_argument("--key", help="the same key and file within a day launch once (Idempotency-Key)")
    command.add_argument("--json", action="store_true",
                         help="print the API's answer instead; with --watch the runs, once they are done")
    command.set_defaults(act=act)


def act(client: ApiClient, given: argparse.Namespace) -> int:
    request = read_spec(given.spec)
    if given.name is not None:
        request["name"] = given.name
    if given.dry_run:
        told = client.preflight(request)
        print(told.model_dump_json(indent=1) if given.json else cost(told))
        return DONE if told.launchable else FAILED
    experiment = client.launch(request, idempotency_key=given.key)
    if not given.json:
        print(f"Experiment {experiment.id}, {experiment.name}: {len(experiment.runs)} runs, "
              f"{_numbers(experiment.runs)}", flush=True)
    elif not given.watch:
        print(experiment.model_dump_json(indent=1))
    return watch(client, experiment, given.json) if given.watch else DONE


def watch(client: ApiClient, experiment: Experiment, as_json: bool) -> int:
    """Waits with a line of progress, then prints the runs."""
    try:
        runs = client.wait(experiment.id, progress=ProgressLine(sys.stderr))
    except KeyboardInterrupt:
        print(f"\nThe runs go on. Wait for them again: densitylab wait --experiment {experiment.id}; stop them: "
              f"densitylab cancel --experiment {experiment.id}", file=sys.stderr)
        return INTERRUPTED
    print(run_json(runs) if as_json else run_table(runs))
    return tell_unsuccessful(runs)


def cost(told: Preflight) -> str:
    """A launch's cost, a line for each part of it."""
    time = "not known" if told.seconds is None else f"about {duration(told.seconds)}"
    memory = "not known" if told.memory_bytes is None else f"{size(told.memory_bytes)} for a run at most"
    lines = [
        f"runs      {told.runs}, {told.steps:,} steps in all",
        f"time      {time} ({told.basis_text})",
        f"memory    {memory} ({told.memory_formula})",
        f"workers   {told.workers} that train; broker: {told.broker}",
    ]
    for data in told.data:
        lines.append(f"data      {data.key}: {data.status}" + (f"; POST {data.prepare} first" if data.prepare else ""))
    return "\n".join([*lines, "It can be launched." if told.launchable else "It cannot be launched yet."])


def _numbers(runs: list[int]) -> str:
    consecutive = runs == list(range(runs[0], runs[-1] + 1))
    return f"{runs[0]} to {runs[-1]}" if consecutive and len(runs) > 2 else ", ".join(map(str, runs))
