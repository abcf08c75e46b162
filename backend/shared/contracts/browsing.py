"""Test images, filtered and sorted by predictions and metrics."""

from pydantic import Field

from densitylab.backend.shared.contracts.fields import Answer


class BrowsedSample(Answer):
    """A test image and what the runs predict of it."""

    index: int = Field(description="index of the image in the split")
    label: int = Field(description="index of its class")
    group: int | None = Field(default=None, description="index of its group; null: the data set has none")
    predicted: list[int | None] = Field(
        description="class predicted by each run, in the order of the request; null: the run has no accuracy evaluation"
    )
    value: float | None = Field(
        default=None, description="sort metric, the mean over the runs; null: not sorted by one"
    )


class SamplesFound(Answer):
    """Images that pass the filters, in order."""

    items: list[BrowsedSample] = Field(description="the images of this page")
    total: int = Field(description="number of matching images")
    orders: list[str] = Field(default_factory=list, description='valid values of `worst`: "<evaluation>.<value>"')
    next_cursor: str | None = Field(default=None, description="`cursor` of the next page; null on the last one")
