"""The log of the embedded broker, from which it starts. It holds nothing that the database has not."""

import shutil
from pathlib import Path

from densitylab.backend.shared.disk_room import has_room

_LOG = "appendonlydir"  # Valkey's name


def set_aside(folder: Path) -> str | None:
    """Rename the log after the broker has ended by an error, so that it starts without; the last one is kept.

    Returns:
        A line that says so; None if there is no log, or the disk is full, which is no fault of the log.
    """
    log = folder / _LOG
    if not log.exists() or not has_room(folder):
        return None
    kept = folder / f"{_LOG}.damaged"
    try:
        shutil.rmtree(kept, ignore_errors=True)
        log.rename(kept)
    except OSError as error:
        return f"its log {log} may be damaged and cannot be renamed ({error.strerror}): remove it"
    return f"its log may be damaged and is kept as {kept}; the database has the queued work, which is delivered again"
