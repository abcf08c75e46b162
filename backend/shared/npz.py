"""Read stored NPZ files."""

import io

import numpy as np
from numpy.typing import NDArray

from densitylab.backend.shared.artifacts import ArtifactStore, DamagedFile, checksum


def read_arrays(content: bytes) -> dict[str, NDArray[np.generic]]:
    """Return every array by name, read without unpickling. Raises DamagedFile where the content is no NPZ."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except MemoryError:
        raise
    except Exception as error:  # zlib, zipfile, struct and NumPy each raise their own
        raise DamagedFile("the file is no NPZ, or it is damaged") from error


def read_file(store: ArtifactStore, location: str) -> bytes:
    """Return the content of a stored NPZ; one without a checksum in its name is read to the end to check it.

    Raises FileNotFoundError, DamagedFile.
    """
    content = store.read(location)
    if checksum(location) is None:
        read_arrays(content)
    return content


def intact(store: ArtifactStore, location: str) -> bool:
    """Return whether a stored NPZ exists and can be read."""
    try:
        read_file(store, location)
    except (FileNotFoundError, DamagedFile):
        return False
    return True
