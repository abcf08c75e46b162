"""The date and the version of a frozen page."""

from datetime import UTC, datetime
from importlib import metadata


def stamp() -> str:
    """Return when and by which version the page was frozen."""
    return f"Frozen on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC with DensityLab {metadata.version('densitylab')}"
