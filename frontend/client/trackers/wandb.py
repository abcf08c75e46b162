"""Weights & Biases: a folder per run, written offline."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from densitylab.frontend.client.trackers.record import Record

# wandb reads it when it is imported
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

import wandb

PROJECT = "densitylab"


@contextmanager
def open_folder(folder: Path) -> Iterator[Callable[[Record], None]]:
    """Write runs to `folder/wandb/offline-run-…`; nothing is sent until `wandb sync FOLDER/wandb/offline-run-*`.

    The points of one step are one row of the history, with `epoch` and `seconds`.
    """
    yield lambda record: _write(record, folder)
    if wandb.run is None:  # else the process that writes the files also serves a run of the caller, and ends with that
        wandb.teardown()  # waits until the files are written


def _write(record: Record, folder: Path) -> None:
    run = wandb.init(
        mode="offline",
        dir=folder,
        project=PROJECT,
        name=record.name,
        group=record.group,
        notes=record.run.notes or None,
        tags=record.run.tags,
        config={"spec": record.params, "densitylab": record.facts},
        reinit="create_new",
        settings=wandb.Settings(
            silent=True,
            console="off",
            disable_code=True,
            disable_git=True,
            disable_job_creation=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
        ),
    )
    by_step = sorted(record.points(), key=lambda item: item[1].step)
    for step, points in itertools.groupby(by_step, key=lambda item: item[1].step):
        row: dict[str, float] = {}
        for name, point, at in points:
            row |= {name: point.value, "epoch": point.epoch, "seconds": point.seconds, "_timestamp": at}
        run.log(row, step=step)
    run.summary.update(record.results)
    (Path(run.dir) / "evaluations.json").write_text(
        "[" + ",\n".join(item.model_dump_json() for item in record.evaluations) + "]\n"
    )
    run.finish(exit_code=0 if record.run.error is None else 1)
