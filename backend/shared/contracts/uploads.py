"""Uploaded images."""

from datetime import datetime

from pydantic import Field

from densitylab.backend.shared.contracts.fields import Answer, ImageSize


class Upload(Answer):
    """An image fitted to a data set's shape; samples of the split "upload" name it by its id."""

    id: int = Field(description="number of the image")
    dataset: str = Field(description="key of the data set whose shape it has")
    image: str = Field(description="the fitted pixels, PNG as a data URL")
    original_size: ImageSize = Field(description="height and width before fitting")
    fitted: str = Field(description="how it was fitted, in words")
    created_at: datetime = Field(description="time of creation, UTC")
