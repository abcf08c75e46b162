"""Room on a disk."""

import errno
import shutil
import tempfile
from pathlib import Path

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # codes of an OSError
_PROBE_BYTES = 64 * 2**10


def has_room(folder: Path, needed: int = 0) -> bool:
    """Return whether a small file can be written to the folder, and `needed` bytes are free."""
    while not folder.exists():
        folder = folder.parent
    try:
        if shutil.disk_usage(folder).free < needed:
            return False
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE_BYTES))
    except OSError as error:
        return error.errno not in NO_ROOM
    return True
