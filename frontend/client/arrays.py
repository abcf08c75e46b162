"""Read NPZ files. NumPy is imported only when a file is read."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def read_arrays(content: bytes) -> "dict[str, np.ndarray]":
    """Return every array of an NPZ file by name.

    Raises:
        ValueError: the file is damaged or of another kind, or has pickled objects.
        ImportError: NumPy is not installed.
    """
    try:
        import numpy as np
    except ModuleNotFoundError as error:
        raise ImportError("arrays need NumPy: pip install numpy") from error
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except MemoryError:
        raise
    except Exception as error:  # zlib, zipfile, struct and NumPy each raise their own
        raise ValueError("this is not an NPZ file, or it is damaged") from error
