"""Arrays of evaluations with one value per test image."""

import numpy as np

from densitylab.frontend.client import ApiClient, ApiError

Arrays = dict[str, np.ndarray]  # by name, each (N,)


def fetch(client: ApiClient, run_id: int, name: str) -> Arrays:
    """Return the arrays of an evaluation by name; empty where none are stored."""
    try:
        arrays = client.artifact_arrays(run_id, f"{name}.npz")
    except ApiError as error:
        if error.status not in (404, 409):
            raise
        return {}
    return {array: values for array, values in arrays.items() if values.ndim == 1}
