"""`densitylab study run`: the price, the launch, the wait and the report."""

import argparse
import sys

from densitylab.backend.shared.contracts.studies import Study, StudyPreflight
from densitylab.frontend.analysis.formatting import as_sentence, counted
from densitylab.frontend.analysis.study_text import price_text
from densitylab.frontend.client import ApiClient
from densitylab.frontend.client.durations import duration
from densitylab.frontend.command_line.outcome import DONE, FAILED, INTERRUPTED, report_unsuccessful
from densitylab.frontend.command_line.progress_line import ProgressLine
from densitylab.frontend.command_line.study_report import report_text


def run_study(client: ApiClient, given: argparse.Namespace) -> int:
    """Launch the study, or go on with the one that there is; wait, and print what it says."""
    datasets = dict(given.datasets)
    cost = client.preflight_study(given.key, given.size, datasets=datasets)
    study = None if given.new else _launched(client, given, datasets, cost.version)
    if study is None:
        print(price(cost), flush=True)
        if not cost.runs:
            return FAILED
        if not given.yes and not _confirmed():
            print("Not launched.")
            return DONE
        study = client.launch_study(given.key, given.size, datasets=datasets)
        print(f"Study {study.id}: {study.label}, {counted(_runs(study), 'run')}", flush=True)
    else:
        study = _gone_on(client, study)
        if not _runs(study):
            return FAILED
    try:
        client.wait_study(study.id, progress=ProgressLine(sys.stderr))
    except KeyboardInterrupt:
        print("\nThe study goes on. The same command waits for it again.", file=sys.stderr)
        return INTERRUPTED
    print(report_text(client.study_report(study.id), client.catalog()), flush=True)
    experiments = [item.experiment for item in study.launches if item.experiment is not None]
    return report_unsuccessful(client, [run for number in experiments for run in client.runs_of(number)])


def price(cost: StudyPreflight) -> str:
    """Return the cost of a study, and what would be left out of it."""
    most = f" to {cost.max_runs:,}" if cost.max_runs > cost.runs else ""
    stated = f"{price_text(cost.stated_minutes)} on {cost.hardware}, evaluations included"
    here = "" if cost.seconds is None or not cost.runs else f"; training here: about {duration(cost.seconds)}"
    lines = [f"price     {cost.runs:,}{most} runs; {stated}{here}"]
    lines += [f"left out  {item.label}: {as_sentence(item.left_out)}" for item in cost.launches if item.left_out]
    if not cost.runs:
        lines.append("Nothing of it can be launched.")
    return "\n".join(lines)


def _confirmed() -> bool:
    """Return whether the user agrees; without a terminal there is nobody to ask."""
    return not sys.stdin.isatty() or input("Launch it? [Y/n] ").strip().lower() in ("", "y", "yes")


def _launched(client: ApiClient, given: argparse.Namespace, datasets: dict[str, str], version: int) -> Study | None:
    """Return the newest such study that has not finished, else the newest one that has; None: there is none."""
    same = [
        study
        for study in client.every(client.studies, key=given.key, size=given.size)
        if study.version == version and study.datasets == datasets
    ]
    return next((study for study in same if not study.finished), next(iter(same), None))


def _gone_on(client: ApiClient, study: Study) -> Study:
    """Launch what was left out and is possible now; say how the study stands."""
    if any(item.experiment is None for item in study.launches):
        study = client.continue_study(study.id)
    for item in study.launches:
        if item.left_out:
            print(f"left out  {item.label}: {as_sentence(item.left_out)}")
    launched = f"Study {study.id}: {study.label}, launched {study.created_at:%Y-%m-%d %H:%M} UTC"
    if study.finished:
        print(f"{launched}, has finished. --new launches it again.\n", flush=True)
    elif _runs(study):
        print(f"{launched}, goes on: {counted(_runs(study), 'run')}", flush=True)
    else:
        print("Nothing of it can be launched.", flush=True)
    return study


def _runs(study: Study) -> int:
    return sum(item.runs for item in study.launches)
