"""Test images to look at."""

from pydantic import Field

from backend.shared.contracts.fields import Answer


class BrowsedSample(Answer):
    index: int
    label: int
    group: int | None = None
    predicted: list[int | None]  # by each run, in the order of the request; null where its accuracy is not measured
    value: float | None = None  # what the images are ordered by, a mean over the runs


class SamplesFound(Answer):
    """Images that pass the filters, in order."""

    items: list[BrowsedSample]
    total: int
    orders: list[str] = Field(default_factory=list)  # what these images can be ordered by: "<evaluation>.<value>"
    next_cursor: str | None = None
