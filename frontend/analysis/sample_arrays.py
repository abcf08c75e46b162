"""Arrays of evaluations with one value per image."""

import numpy as np

from densitylab.frontend.client import ApiClient, ApiError

Arrays = dict[str, np.ndarray]  # by name, each (N,); `indices` are those of the images in their split


def fetch(client: ApiClient, run_id: int, name: str) -> Arrays:
    """Return the arrays of an evaluation by name, with `indices`; empty where none are stored."""
    try:
        arrays = client.artifact_arrays(run_id, f"{name}.npz")
    except ApiError as error:
        if error.status not in (404, 409):
            raise
        return {}
    # Names with "/" are of other images
    own = {array: values for array, values in arrays.items() if values.ndim == 1 and "/" not in array}
    return {"indices": np.arange(max(map(len, own.values()), default=0)), **own}
