"""The images that the page offers to upload."""

from densitylab.backend.shared.images import SUFFIXES
from densitylab.frontend.explore.images import UPLOAD_TYPES


def test_the_page_offers_the_endings_that_the_api_reads():
    assert [f".{ending}" for ending in UPLOAD_TYPES] == list(SUFFIXES)
