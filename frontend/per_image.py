"""The arrays that an evaluation kept: one value per test image. No Streamlit in here."""

import io

import numpy as np

from frontend.client import ApiClient, ApiError

Arrays = dict[str, np.ndarray]  # by name, each (N,)


def fetch(client: ApiClient, run_id: int, name: str) -> Arrays:
    """Those of the evaluation of that name; empty where they are not kept."""
    try:
        content = client.artifact(run_id, f"{name}.npz")
    except ApiError as error:
        if error.status not in (404, 409):
            raise
        return {}
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {array: file[array] for array in file.files if file[array].ndim == 1}
