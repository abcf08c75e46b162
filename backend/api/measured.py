"""Single test images behind a figure, from the arrays that an evaluation kept."""

import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from backend.shared.contracts import MeasuredSample, MeasuredSamples

Arrays = Mapping[str, NDArray[np.generic]]


def per_sample(content: bytes) -> Arrays:
    """The arrays (N,) of an NPZ: one number per test image."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files if file[name].ndim == 1}


def measured_samples(arrays: Arrays, array: str, *, equals: float | None, order: str, limit: int) -> MeasuredSamples:
    """The images whose value in `array` is `equals` (None: all), at most `limit`: by index, or with the lowest or
    highest values first and those that have none last."""
    values = arrays[array].astype(np.float64)
    # what is stored in single precision is not exactly what was asked for
    chosen = np.arange(len(values)) if equals is None else np.flatnonzero(np.isclose(values, equals, rtol=1e-6, atol=0))
    if order != "index":
        key = values[chosen] if order == "lowest" else -values[chosen]
        chosen = chosen[np.argsort(key, kind="stable")]  # NaN goes last
    return MeasuredSamples(
        array=array, total=len(chosen), items=[
            MeasuredSample(
                index=int(index), value=_number(values[index]),
                values={name: _number(float(column[index])) for name, column in arrays.items()},  # type: ignore[arg-type]
            )
            for index in chosen[:limit]
        ],
    )


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
