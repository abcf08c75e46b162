"""The values behind a result, for each image."""

import json
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from densitylab.backend.services.previews import SampleCache
from densitylab.backend.services.samples import stored_array
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.contracts import Run
from densitylab.backend.shared.statistics.groups import Column

Values = NDArray[np.float64]
InGroups = tuple[Values, Values]  # values and groups of the images


class ValuesPerImage:
    """Reads what evaluations keep for each image."""

    def __init__(self, session: Session, store: ArtifactStore, cache: SampleCache) -> None:
        self._session, self._store, self._cache = session, store, cache

    def of(self, run: Run, column: Column) -> Values | None:
        """Return the values of which the run's result is the mean, by the image's index in its split.

        NaN stands for images without a value, None where no such values are stored.
        """
        for values in self._candidates(run, column):
            known = np.isfinite(values)
            if known.any() and _is_result(run, column, values[known].mean()):
                return np.where(known, values, np.nan)
        return None

    def of_groups(self, run: Run, column: Column) -> InGroups | None:
        """Return the values of which the run's result is the lowest mean of a group, and the groups, by the image's
        index in its split.

        NaN stands for images without a value, None where no such values are stored.
        """
        group = self._stored(run, column, "group")
        if group is None:
            return None
        for values in self._candidates(run, column):
            known = np.isfinite(values) & np.isfinite(group)
            means = [values[known & (group == number)].mean() for number in np.unique(group[known])]
            if means and _is_result(run, column, min(means)):
                return np.where(known, values, np.nan), np.where(known, group, np.nan)
        return None

    def _candidates(self, run: Run, column: Column) -> Iterator[Values]:
        found = self._stored(run, column, column.value), self._robust(run, column), self._stored(run, column, "correct")
        yield from (values for values in found if values is not None)

    def _robust(self, run: Run, column: Column) -> Values | None:
        broken_at, epsilons = self._stored(run, column, "broken_at"), json.loads(column.params).get("epsilons")
        if broken_at is None or not epsilons:
            return None
        return np.where(np.isnan(broken_at), np.nan, broken_at > epsilons[0] * (1 + 1e-6))

    def _stored(self, run: Run, column: Column, array: str) -> Values | None:
        name = column.result.partition(".")[0]
        return stored_array(self._session, self._store, self._cache, run, name, array, False)


def _is_result(run: Run, column: Column, value: np.floating) -> bool:
    result = run.results[column.result].value
    return result is not None and bool(np.isclose(value, result, 1e-4))
