"""The algorithm of a run: made for its training images, and its files kept at the end."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sqlalchemy.orm import Session

from densitylab.backend.shared.artifacts import checked_location
from densitylab.backend.shared.catalog import AlgorithmEntry
from densitylab.backend.shared.contracts import Run
from densitylab.backend.shared.store import run_artifacts
from densitylab.worker import resolve
from densitylab.worker.algorithms.algorithm import Algorithm, TrainingSamples
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.failures import JobFailed
from densitylab.worker.runtime.lease import Lease


def build_algorithm(
    context: Context, record: Run, train: Dataset, num_classes: int, device: torch.device
) -> Callable[[], Algorithm]:
    """Return a function that makes a new algorithm of the run's spec for its training images.

    It raises JobFailed if a plug-in returns something else, and ValueError if the images lack groups.
    """
    chosen = record.spec.algorithm
    build = resolve.component(context.catalog, AlgorithmEntry, chosen.key, chosen.params).function
    samples = TrainingSamples(train.labels, train.groups, num_classes, device)

    def new() -> Algorithm:
        algorithm = build(samples)
        if not isinstance(algorithm, Algorithm):  # of a plug-in
            raise JobFailed(f"algorithm {chosen.key!r} returned a {type(algorithm).__name__}; expected an Algorithm")
        return algorithm

    return new


def keep_files(context: Context, lease: Lease, run_id: int, algorithm: Algorithm) -> Callable[[Session], list[str]]:
    """Write the algorithm's files; return what points the run to them and returns the locations that they replace, to
    delete after the commit."""
    written = []
    for name, kept in algorithm.files().items():
        arrays: dict[str, Any] = dict(kept)
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        content = file.getvalue()
        location = checked_location(f"runs/{run_id}/algorithm/{lease.task.token}-{name}", content)
        written.append((name, location, context.artifacts.write(location, content)))

    def point_to_them(session: Session) -> list[str]:
        replaced = [
            run_artifacts.put_artifact(
                session, run_id, name, location=location, size=size, media_type="application/zip"
            )
            for name, location, size in written
        ]
        return [location for location in replaced if location is not None]

    return point_to_them
