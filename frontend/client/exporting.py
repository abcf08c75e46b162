"""Runs as the files of other trackers."""

import errno
import importlib
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path
from typing import Literal, get_args

from densitylab.frontend.client.dual_api import sync_and_async
from densitylab.frontend.client.resources.experiments import ExperimentRoutes
from densitylab.frontend.client.resources.runs import RunRoutes
from densitylab.frontend.client.trackers.record import Record

Tracker = Literal["mlflow", "tensorboard", "wandb"]


class ExportRoutes(ExperimentRoutes, RunRoutes):
    @sync_and_async
    async def export_runs(
        self,
        tracker: Tracker,
        folder: str | PathLike[str],
        *,
        experiment: int | None = None,
        runs: Sequence[int] | None = None,
    ) -> list[int]:
        """Write runs to the files of another tracker; return their ids.

        Each run has its spec as parameters, every point of its curves with step and time, its results with interval
        and n, its flags and its provenance. Names get `_` for characters that a tracker does not take. The time of a
        point is the start of the training plus its seconds of training, which leave pauses out.

        Args:
            tracker: "mlflow" (a store in SQLite), "tensorboard" (event files) or "wandb" (runs written offline).
            folder: a new or an empty one; it is left as it was if the export fails.
            experiment: all its runs but archived ones.
            runs: these runs instead.

        Raises:
            ApiError: refused, or no answer came.
            ImportError: the tracker's package is not installed.
            FileExistsError: there is something in the folder.
            OSError: the folder cannot be written.
        """
        if (experiment is None) == (runs is None):
            raise ValueError("expected an experiment, or runs")
        open_folder = _opener(tracker)
        chosen = (
            await self.runs_of(experiment) if experiment is not None else [await self.run(run) for run in runs or ()]
        )
        experiments = {number: await self.experiment(number) for number in {run.experiment for run in chosen}}
        target = Path(folder)
        existed = target.exists()
        if existed and (not target.is_dir() or any(target.iterdir())):
            raise FileExistsError(errno.EEXIST, "expected a new or an empty folder", str(target))
        try:
            target.mkdir(parents=True, exist_ok=True)
            with open_folder(target) as write:
                for run in chosen:
                    curves, evaluations = await self.metrics(run.id), await self.evaluations(run.id)
                    write(Record(run, experiments[run.experiment], curves, evaluations))
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            if existed:
                target.mkdir()
            raise
        return [run.id for run in chosen]


def _opener(tracker: str) -> Callable[[Path], AbstractContextManager[Callable[[Record], None]]]:
    """Return the tracker's `open_folder`. Raises ImportError if its package is not installed."""
    if tracker not in get_args(Tracker):
        raise ValueError(f"expected one of {', '.join(get_args(Tracker))}; got {tracker!r}")
    try:
        module = importlib.import_module(f"densitylab.frontend.client.trackers.{tracker}")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"an export to {tracker} needs the extra `{tracker}`: pip install 'densitylab[{tracker}]'"
        ) from error
    return module.open_folder  # type: ignore[no-any-return]
