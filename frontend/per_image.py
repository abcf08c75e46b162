"""The arrays that an evaluation kept: one value per test image. No Streamlit in here."""

import numpy as np

from frontend.client import ApiClient, ApiError

Arrays = dict[str, np.ndarray]  # by name, each (N,)


def fetch(client: ApiClient, run_id: int, name: str) -> Arrays:
    """Those of the evaluation of that name; empty where they are not kept."""
    try:
        arrays = client.artifact_arrays(run_id, f"{name}.npz")
    except ApiError as error:
        if error.status not in (404, 409):
            raise
        return {}
    return {array: values for array, values in arrays.items() if values.ndim == 1}
