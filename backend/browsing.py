"""Which images of the test split to look at: by class, group, mistakes, disagreement, or the worst of a measure."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from backend import attributing
from backend.api.samples import SampleCache
from backend.attributing import NotNow
from backend.shared.artifacts import ArtifactStore
from backend.shared.contracts import BrowsedSample, FieldError, Run, SamplesFound
from backend.shared.specs import InvalidRequest
from backend.shared.store import evaluations, runs
from backend.shared.tables import DatasetRow

Only = Literal["all", "wrong_any", "wrong_all", "disagree"]
ACCURACY = "accuracy"  # the evaluation that every run has, with what it predicts of each test image
Numbers = NDArray[np.generic]


def browse(
    session: Session, store: ArtifactStore, data: SampleCache, measures: SampleCache, *, run_ids: Sequence[int],
    label: int | None, group: int | None, only: Only, worst: str | None,
) -> SamplesFound:
    """The test images that pass the filters, in order of their index or the worst first.

    Args:
        session: of the database.
        store: where the data sets' images and the evaluations' numbers per image are.
        data: keeps the images' arrays.
        measures: keeps the evaluations' arrays.
        run_ids: trained runs of one data set.
        label: of this class only.
        group: of this group only.
        only: which predictions qualify: wrong under any or under all of the runs, or not the same under all.
        worst: "<evaluation>.<value>" whose mean over the runs puts the worst first; images where it is not defined
            under some run, or was not measured, are left out.

    Raises:
        InvalidRequest, UnknownRun, NotNow: see `attributing.check`; or a run lacks an evaluation that is asked for.
    """
    members = attributing.trained(session, run_ids, "/query/run")
    row = attributing.common_data(session, members, "/query/run")
    images = _images(store, data, row)
    labels = images["test_labels"].astype(int)
    groups = images.get("test_groups")
    if group is not None and groups is None:
        raise InvalidRequest([FieldError(pointer="/query/group", detail=f"the data set {row.key} has no groups")])
    passing = np.ones(len(labels), dtype=bool)
    if label is not None:
        passing &= labels == label
    if group is not None and groups is not None:
        passing &= groups == group
    predicted = [_array(session, store, measures, run, ACCURACY, "predicted", only != "all") for run in members]
    # Of a large data set the API holds the first images alone
    predicted = [None if array is None else array[:len(labels)] for array in predicted]
    known = [array for array in predicted if array is not None]
    if only != "all":
        passing &= _qualifies(np.stack(known), labels, only)
    values: NDArray[np.float64] | None = None
    chosen = np.flatnonzero(passing)
    if worst is not None:
        values, higher = _measured(session, store, measures, members, worst, len(labels))
        chosen = chosen[np.isfinite(values[chosen])]
        chosen = chosen[np.argsort(values[chosen] if higher else -values[chosen], kind="stable")]
    return SamplesFound(total=len(chosen), orders=_orders(session, store, measures, members), items=[
        BrowsedSample(
            index=int(index), label=int(labels[index]), group=None if groups is None else int(groups[index]),
            predicted=[None if array is None else int(array[index]) for array in predicted],
            value=None if values is None else float(values[index]),
        ) for index in chosen
    ])


def _qualifies(predicted: Numbers, labels: Numbers, only: Only) -> NDArray[np.bool_]:
    """(N,) of predictions (R, N)."""
    wrong = predicted != labels
    return {
        "wrong_any": wrong.any(axis=0), "wrong_all": wrong.all(axis=0),
        "disagree": (predicted != predicted[0]).any(axis=0),
    }[only]


def _images(store: ArtifactStore, cache: SampleCache, row: DatasetRow) -> Mapping[str, Numbers]:
    try:
        return cache.arrays(store, row.samples_location or "none")
    except FileNotFoundError:
        raise NotNow(f"the images of {row.key!r} are gone: prepare it again", "/query/run") from None


def _array(
    session: Session, store: ArtifactStore, cache: SampleCache, run: Run, evaluation: str, name: str, needed: bool
) -> Numbers | None:
    """One number per test image that an evaluation of the run kept; None where it is not there and not needed."""
    stored = runs.artifact(session, run.id, f"{evaluation}.npz")
    try:
        found = None if stored is None else cache.arrays(store, stored.location).get(name)
    except FileNotFoundError:
        found = None
    if found is None and needed:
        raise NotNow(f"run {run.id} has no {name!r} per image of an evaluation {evaluation!r}: take that measure first",
                     "/query/run")
    return found


def _measured(
    session: Session, store: ArtifactStore, cache: SampleCache, members: Sequence[Run], worst: str, size: int
) -> tuple[NDArray[np.float64], bool]:
    """(mean over the runs (N,), NaN where not measured; whether more is better)."""
    evaluation, _, name = worst.partition(".")
    rows = []
    higher: bool | None = None
    for run in members:
        array = _array(session, store, cache, run, evaluation, name, True)
        padded = np.full(size, np.nan)
        if array is not None and array.ndim == 1:
            padded[:len(array)] = array[:size]
        rows.append(padded)
        higher = _directions(session, run).get(worst, higher)
    if higher is None:
        raise InvalidRequest([FieldError(
            pointer="/query/worst", detail=f"expected one of {', '.join(_orders(session, store, cache, members))}; "
            f"which way of {worst} is worse is not known")])
    return np.mean(rows, axis=0), higher


def _directions(session: Session, run: Run) -> dict[str, bool]:
    """Whether more is better, of each of the run's values for which that is known."""
    return {
        f"{item.name}.{name}": value.higher_is_better
        for item in evaluations.of_run(session, run.id) for name, value in item.values.items()
        if value.higher_is_better is not None
    }


def _orders(session: Session, store: ArtifactStore, cache: SampleCache, members: Sequence[Run]) -> list[str]:
    """What `worst` takes: values of known direction that every run has per image."""
    shared: list[str] | None = None
    for run in members:
        own = []
        for order in _directions(session, run):
            evaluation, _, name = order.partition(".")
            if _array(session, store, cache, run, evaluation, name, False) is not None:
                own.append(order)
        shared = own if shared is None else [order for order in shared if order in own]
    return shared or []
