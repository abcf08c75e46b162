"""The numbers of test images behind results."""

from collections.abc import Sequence

from densitylab.backend.shared.contracts import Run


def images_of(runs: Sequence[Run], results: Sequence[str]) -> list[int | None]:
    """Return the smallest number of images of each result; None where it is not counted in images."""
    return [
        min((value.n for run in runs if (value := run.results.get(result)) and value.n), default=None)
        for result in results
    ]
