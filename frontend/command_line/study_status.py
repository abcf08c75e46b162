"""`densitylab study status`."""

import argparse

from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.contracts.studies import Study
from densitylab.frontend.analysis.formatting import as_sentence
from densitylab.frontend.client import ApiClient
from densitylab.frontend.client.study_progress import study_state
from densitylab.frontend.command_line.outcome import DONE
from densitylab.frontend.command_line.plain_text import aligned


def show_status(client: ApiClient, given: argparse.Namespace) -> int:
    """Print one study, or a line for each."""
    if given.study is not None:
        print(_one(client.study(given.study)))
        return DONE
    studies = list(client.every(client.studies))
    rows = [["study", "key", "size", "version", "launched", "state", "progress", "runs"]]
    rows += [
        [
            str(study.id),
            study.key,
            study.size,
            str(study.version),
            f"{study.created_at:%Y-%m-%d %H:%M}",
            _state(study),
            f"{study_state(study, 0, 0).done:.0%}",
            str(sum(item.runs for item in study.launches)),
        ]
        for study in studies
    ]
    print(aligned(rows, left=(1, 2, 4, 5)) if studies else "No study has been launched.")
    return DONE


def _one(study: Study) -> str:
    rows = [["launch", "experiment", "runs", "evaluations"]]
    rows += [
        [
            item.label,
            "—" if item.experiment is None else str(item.experiment),
            _counts(item.counts),
            _counts(item.evaluation_counts),
        ]
        for item in study.launches
    ]
    lines = [
        f"Study {study.id}: {study.label} ({study.key}, size {study.size}, version {study.version}), {_state(study)}",
        study.question,
        str(study_state(study, 0, 0)),
        "",
        aligned(rows, left=(0, 2, 3)),
    ]
    lines += [f"left out  {item.label}: {as_sentence(item.left_out)}" for item in study.launches if item.left_out]
    return "\n".join(lines)


def _state(study: Study) -> str:
    if study.finished:
        return "finished"
    return "running" if any(item.runs for item in study.launches) else "nothing launched"


def _counts(counts: dict[Status, int]) -> str:
    return ", ".join(f"{number} {status.value}" for status, number in counts.items()) or "—"
