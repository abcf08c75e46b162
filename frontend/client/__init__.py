"""The Python client of the API: the page uses it, and so may any other tool.

    from frontend.client import connect

    client = connect()                                     # DENSITYLAB_API_URL, DENSITYLAB_API_TOKEN
    experiment = client.launch({"name": "first", "sweep": {"lambda_": [0, 0.1, 1]}})
    runs = client.wait(experiment.id, progress=print)

`connect_async` gives one whose methods are awaited. Answers are the models of `backend.shared.contracts`.
"""

from frontend.client.arrays import read_arrays
from frontend.client.clients import DEFAULT_URL, ApiClient, AsyncApiClient, connect, connect_async
from frontend.client.errors import ApiError, RunsFailed
from frontend.client.frames import to_dataframe
from frontend.client.sending import Listing
from frontend.client.waiting import WaitState

__all__ = [
    "DEFAULT_URL",
    "ApiClient",
    "ApiError",
    "AsyncApiClient",
    "Listing",
    "RunsFailed",
    "WaitState",
    "connect",
    "connect_async",
    "read_arrays",
    "to_dataframe",
]
