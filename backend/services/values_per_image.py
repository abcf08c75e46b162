"""The values behind a result, for each image."""

import json

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from densitylab.backend.services.previews import SampleCache
from densitylab.backend.services.samples import stored_array
from densitylab.backend.shared.artifacts import ArtifactStore
from densitylab.backend.shared.contracts import Run
from densitylab.backend.shared.statistics.groups import Column

Values = NDArray[np.float64]


class ValuesPerImage:
    """Reads what evaluations keep for each image."""

    def __init__(self, session: Session, store: ArtifactStore, cache: SampleCache) -> None:
        self._session, self._store, self._cache = session, store, cache

    def of(self, run: Run, column: Column) -> Values | None:
        """Return the values of which the run's result is the mean, by the image's index in its split.

        NaN stands for images without a value, None where no such values are stored.
        """
        name, result = column.result.partition(".")[0], run.results[column.result]
        for values in self._candidates(run, name, column):
            if values is not None:
                known = np.isfinite(values)
                if result.value is not None and known.any() and np.isclose(values[known].mean(), result.value, 1e-4):
                    return np.where(known, values, np.nan)
        return None

    def _candidates(self, run: Run, name: str, column: Column) -> list[Values | None]:
        def stored(array: str) -> Values | None:
            return stored_array(self._session, self._store, self._cache, run, name, array, False)

        broken_at, epsilons = stored("broken_at"), json.loads(column.params).get("epsilons")
        robust = None
        if broken_at is not None and epsilons:
            robust = np.where(np.isnan(broken_at), np.nan, broken_at > epsilons[0] * (1 + 1e-6))
        return [stored(column.value), robust, stored("correct")]
