"""`densitylab launch`."""

import argparse
import sys
from collections.abc import Sequence

from densitylab.backend.shared.contracts import Experiment, Preflight
from densitylab.frontend.analysis.formatting import size
from densitylab.frontend.client import ApiClient
from densitylab.frontend.client.durations import duration
from densitylab.frontend.command_line import client_command
from densitylab.frontend.command_line.data_output import write_data
from densitylab.frontend.command_line.outcome import DONE, FAILED, INTERRUPTED, report_unsuccessful
from densitylab.frontend.command_line.overrides import apply, override
from densitylab.frontend.command_line.parser import Parser
from densitylab.frontend.command_line.progress_line import ProgressLine
from densitylab.frontend.command_line.run_table import run_json, run_table
from densitylab.frontend.command_line.spec_file import read_spec


def main(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="densitylab launch",
        description="Launch the experiment of a YAML or JSON file, or of --set.",
        parents=[client_command.url_option()],
    )
    parser.add_argument(
        "spec",
        metavar="FILE",
        nargs="?",
        help="the body of POST /api/v1/experiments; - for standard input; may be left out with --set",
    )
    parser.add_argument(
        "--set",
        type=override,
        action="append",
        dest="overrides",
        metavar="PATH=VALUE",
        default=[],
        help="set a part of the spec, such as epochs=3 or model.key=cnn; several values are swept: lambda_=0,0.1; "
        "values are JSON; can be repeated",
    )
    parser.add_argument("--name", help="replaces the name in the file")
    parser.add_argument("--dry-run", action="store_true", help="print the cost without launching")
    parser.add_argument("--watch", action="store_true", help="wait for the runs and print their results")
    parser.add_argument("--key", help="idempotency key: the same key and file launch only once within a day")
    parser.add_argument(
        "--json", action="store_true", help="print the API's answer; with --watch the runs, once they are done"
    )
    given = parser.parse_args(arguments)
    if given.spec is None and not given.overrides:
        parser.error("expected FILE, --set, or both")
    return client_command.run(act, given)


def act(client: ApiClient, given: argparse.Namespace) -> int:
    request = {} if given.spec is None else read_spec(given.spec)
    apply(request, given.overrides)
    if given.name is not None:
        request["name"] = given.name
    if given.dry_run:
        preflight = client.preflight(request)
        if given.json:
            write_data(preflight.model_dump_json(indent=1) + "\n")
        else:
            print(cost(preflight))
        return DONE if preflight.launchable else FAILED
    experiment = client.launch(request, idempotency_key=given.key)
    if not given.json:
        count = f"{len(experiment.runs)} {'run' if len(experiment.runs) == 1 else 'runs'}"
        print(f"Experiment {experiment.id} ({experiment.name}): {count}, id {_numbers(experiment.runs)}", flush=True)
    elif not given.watch:
        write_data(experiment.model_dump_json(indent=1) + "\n")
    return watch(client, experiment, given.json) if given.watch else DONE


def watch(client: ApiClient, experiment: Experiment, as_json: bool) -> int:
    """Show the progress until the runs have ended, then print them."""
    try:
        runs = client.wait(experiment.id, progress=ProgressLine(sys.stderr))
    except KeyboardInterrupt:
        print(
            f"\nThe runs go on. Wait again: densitylab wait --experiment {experiment.id}. "
            f"Stop them: densitylab cancel --experiment {experiment.id}.",
            file=sys.stderr,
        )
        return INTERRUPTED
    if as_json:
        write_data(run_json(runs) + "\n")
    else:
        print(run_table(runs, client.catalog()))
    return report_unsuccessful(client, runs)


def cost(preflight: Preflight) -> str:
    """Return the estimated cost, one line per kind of cost."""
    time = "not known" if preflight.seconds is None else f"about {duration(preflight.seconds)}"
    known = preflight.evaluation_seconds
    evaluated = "an unknown time" if known is None else f"about {duration(known)}"
    rough = ", within a factor of about two" if preflight.evaluation_basis in ("calibrated", "mixed") else ""
    memory = "not known" if preflight.memory_bytes is None else f"{size(preflight.memory_bytes)} for a run at most"
    lines = [
        f"runs      {preflight.runs}, {preflight.steps:,} steps in all",
        f"time      {time} ({preflight.basis_text})",
        f"after it  {evaluated} of evaluations{rough}",
        f"memory    {memory} ({preflight.memory_formula})",
        f"workers   {preflight.workers} for training; broker: {preflight.broker}",
    ]
    for data in preflight.data:
        lines.append(f"data      {data.key}: {data.status}" + (f"; first POST {data.prepare}" if data.prepare else ""))
    lines += [f"note      {note}" for note in preflight.notes]
    return "\n".join([*lines, "It can be launched." if preflight.launchable else "It cannot be launched yet."])


def _numbers(runs: list[int]) -> str:
    consecutive = runs == list(range(runs[0], runs[-1] + 1))
    return f"{runs[0]} to {runs[-1]}" if consecutive and len(runs) > 2 else ", ".join(map(str, runs))
