"""Launch an experiment only once, even if a script runs repeatedly."""

from hashlib import sha256

from densitylab.backend.shared.contracts import Experiment, ExperimentRequest, RunsRequest
from densitylab.frontend.client import ApiClient


def launched(client: ApiClient, wanted: ExperimentRequest) -> Experiment:
    """Return the experiment of this name and spec. Launch it if it does not exist, and add missing runs.

    Raises ApiError.
    """
    sent = wanted.model_dump(mode="json")
    for experiment in client.experiments(q=wanted.name, limit=100).items:
        if experiment.name == wanted.name and experiment.request.get("spec") == sent["spec"]:
            if experiment.request.get("sweep") == sent["sweep"]:
                return experiment
            return client.add_runs(experiment.id, RunsRequest(sweep=wanted.sweep, duplicates="skip")).experiment
    # If the answer is lost, the next call receives it again
    return client.launch(wanted, idempotency_key=sha256(wanted.model_dump_json().encode()).hexdigest())
