"""Browse the test split: filter by class, group, mistakes or disagreement, and sort by a metric."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from densitylab.backend.services.attributions import RunNotReady, shared_dataset, trained_runs
from densitylab.backend.services.image_arrays import at_indices, indices_of, of_images
from densitylab.backend.services.previews import SampleCache
from densitylab.backend.shared.artifacts import ArtifactStore, DamagedFile
from densitylab.backend.shared.contracts import BrowsedSample, Run, SamplesFound
from densitylab.backend.shared.errors import InvalidField
from densitylab.backend.shared.store import evaluations, run_artifacts
from densitylab.backend.shared.tables import DatasetRow

Only = Literal["all", "wrong_any", "wrong_all", "disagree"]
ACCURACY = "accuracy"  # the evaluation that every run has, with its prediction for each test image
Numbers = NDArray[np.generic]
Values = NDArray[np.float64]


def browse(
    session: Session,
    store: ArtifactStore,
    images_cache: SampleCache,
    values_cache: SampleCache,
    *,
    run_ids: Sequence[int],
    label: int | None,
    group: int | None,
    only: Only,
    worst: str | None,
) -> SamplesFound:
    """Return the test images that pass the filters, by index or with the worst first.

    Args:
        session: of the database.
        store: has the data sets' images and the evaluations' values per image.
        images_cache: of the images' arrays.
        values_cache: of the evaluations' arrays.
        run_ids: trained runs of one data set.
        label: only images of this class.
        group: only images of this group.
        only: only images that any or all of the runs predict wrong, or that the runs predict differently.
        worst: "<evaluation>.<value>" to sort by, its mean over the runs, worst first; images without a value for one of
            the runs are left out.

    Raises:
        InvalidRequest, NotFound, RunNotReady: see `attributions.check`; or a run lacks a required evaluation.
    """
    members = trained_runs(session, run_ids, "/query/run")
    row = shared_dataset(session, members, "/query/run")
    images = _images(store, images_cache, row)
    labels = images["test_labels"].astype(int)
    groups = images.get("test_groups")
    if group is not None and groups is None:
        raise InvalidField(f"the data set {row.key} has no groups", "/query/group")
    passing = np.ones(len(labels), dtype=bool)
    if label is not None:
        passing &= labels == label
    if group is not None and groups is not None:
        passing &= groups == group
    predicted = [
        stored_array(session, store, values_cache, run, ACCURACY, "predicted", only != "all") for run in members
    ]
    predicted = [None if array is None else _of_size(array, len(labels)) for array in predicted]
    known = [array for array in predicted if array is not None]
    if only != "all":
        passing &= _qualifies(np.stack(known), labels, only)
    values: Values | None = None
    chosen = np.flatnonzero(passing)
    if worst is not None:
        values, higher = _mean_values(session, store, values_cache, members, worst, len(labels))
        chosen = chosen[np.isfinite(values[chosen])]
        chosen = chosen[np.argsort(values[chosen] if higher else -values[chosen], kind="stable")]
    return SamplesFound(
        total=len(chosen),
        orders=_orders(session, store, values_cache, members),
        items=[
            BrowsedSample(
                index=int(index),
                label=int(labels[index]),
                group=None if groups is None else int(groups[index]),
                predicted=[
                    None if array is None or np.isnan(array[index]) else int(array[index]) for array in predicted
                ],
                value=None if values is None else float(values[index]),
            )
            for index in chosen
        ],
    )


def _qualifies(predicted: Values, labels: Numbers, only: Only) -> NDArray[np.bool_]:
    """Return a mask (N,) for predictions (R, N); an image without a prediction does not qualify."""
    wrong = predicted != labels
    chosen = {
        "wrong_any": wrong.any(axis=0),
        "wrong_all": wrong.all(axis=0),
        "disagree": (predicted != predicted[0]).any(axis=0),
    }[only]
    return chosen & np.isfinite(predicted).all(axis=0)


def _images(store: ArtifactStore, cache: SampleCache, row: DatasetRow) -> Mapping[str, Numbers]:
    try:
        return cache.arrays(store, row.samples_location or "none")
    except (FileNotFoundError, DamagedFile):
        raise RunNotReady(
            f"the images of {row.key!r} were deleted or are damaged: prepare it again", "/query/run"
        ) from None


def stored_array(
    session: Session, store: ArtifactStore, cache: SampleCache, run: Run, evaluation: str, name: str, needed: bool
) -> Values | None:
    """Return one stored value per image, by its index in the split, NaN where the evaluation did not use the image;
    None if it is missing and not needed."""
    stored = run_artifacts.artifact(session, run.id, f"{evaluation}.npz")
    try:
        arrays = {} if stored is None else cache.arrays(store, stored.location)
    except (FileNotFoundError, DamagedFile):
        arrays = {}
    values = of_images(arrays).get(name)
    if values is None and needed:
        raise RunNotReady(
            f"run {run.id} has stored no {name!r} per image of an evaluation {evaluation!r}: run that evaluation first",
            "/query/run",
        )
    return None if values is None else at_indices(values, indices_of(arrays, len(values)))


def _of_size(values: Values, size: int) -> Values:
    """Return the values of the first `size` images, of which alone the API has pictures; NaN where there are none."""
    placed = np.full(size, np.nan)
    placed[: len(values)] = values[:size]
    return placed


def _mean_values(
    session: Session, store: ArtifactStore, cache: SampleCache, members: Sequence[Run], worst: str, size: int
) -> tuple[Values, bool]:
    """Return the mean over the runs (N,), NaN where a run has no value, and whether higher is better."""
    evaluation, _, name = worst.partition(".")
    rows = []
    higher: bool | None = None
    for run in members:
        array = stored_array(session, store, cache, run, evaluation, name, True)
        rows.append(np.full(size, np.nan) if array is None else _of_size(array, size))
        higher = _directions(session, run).get(worst, higher)
    if higher is None:
        raise InvalidField(
            f"expected one of {', '.join(_orders(session, store, cache, members))}; "
            f"it is not known whether a high or a low {worst} is worse",
            "/query/worst",
        )
    return np.mean(rows, axis=0), higher


def _directions(session: Session, run: Run) -> dict[str, bool]:
    """Return whether higher is better, for each of the run's metrics for which it is known."""
    return {
        f"{item.name}.{name}": value.higher_is_better
        for item in evaluations.of_run(session, run.id)
        for name, value in item.values.items()
        if value.higher_is_better is not None
    }


def _orders(session: Session, store: ArtifactStore, cache: SampleCache, members: Sequence[Run]) -> list[str]:
    """Return the valid values of `worst`: metrics of known direction that every run has stored per image."""
    shared: list[str] | None = None
    for run in members:
        own = []
        for order in _directions(session, run):
            evaluation, _, name = order.partition(".")
            if stored_array(session, store, cache, run, evaluation, name, False) is not None:
                own.append(order)
        shared = own if shared is None else [order for order in shared if order in own]
    return shared or []
