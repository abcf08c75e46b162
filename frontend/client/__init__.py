"""The Python client of the API, for the page and for any other tool.

    import densitylab

    client = densitylab.connect()                          # DENSITYLAB_API_URL, DENSITYLAB_API_TOKEN
    experiment = client.launch({"name": "first", "sweep": {"lambda_": [0, 0.1, 1]}})
    runs = client.wait(experiment.id, progress=print)

`connect_async` returns a client whose methods are awaited. Answers are models of `densitylab.backend.shared.contracts`.
"""

from densitylab.frontend.client.arrays import read_arrays
from densitylab.frontend.client.clients import DEFAULT_URL, ApiClient, AsyncApiClient, connect, connect_async
from densitylab.frontend.client.errors import ApiError, RunsFailed, WeightsDoNotFit
from densitylab.frontend.client.frames import to_dataframe
from densitylab.frontend.client.logged_run import LoggedRun, RunCancelled, log_run
from densitylab.frontend.client.transport import Listing
from densitylab.frontend.client.waiting import WaitState

__all__ = [
    "DEFAULT_URL",
    "ApiClient",
    "ApiError",
    "AsyncApiClient",
    "Listing",
    "LoggedRun",
    "RunCancelled",
    "RunsFailed",
    "WaitState",
    "WeightsDoNotFit",
    "connect",
    "connect_async",
    "log_run",
    "read_arrays",
    "to_dataframe",
]
