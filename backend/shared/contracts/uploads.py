"""Images that people bring."""

from datetime import datetime

from backend.shared.contracts.fields import Answer, ImageSize


class Upload(Answer):
    """An image fitted to a data set's shape; samples of the split "upload" name it by its id."""

    id: int
    dataset: str
    image: str  # the fitted pixels, PNG as a data URL
    original_size: ImageSize
    fitted: str  # what was done to it, in words
    created_at: datetime
