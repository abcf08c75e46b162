"""Experiments of a running system that are launched once, however often a script is called."""

from hashlib import sha256

from backend.shared.contracts import Experiment, ExperimentRequest, RunsRequest
from frontend.client import ApiClient


def launched(client: ApiClient, wanted: ExperimentRequest) -> Experiment:
    """The experiment of this name and spec, launched now unless it is there; runs that it lacks are added to it.

    Raises ApiError.
    """
    sent = wanted.model_dump(mode="json")
    for found in client.experiments(q=wanted.name, limit=100).items:
        if found.name == wanted.name and found.request.get("spec") == sent["spec"]:
            if found.request.get("sweep") == sent["sweep"]:
                return found
            return client.add_runs(found.id, RunsRequest(sweep=wanted.sweep, duplicates="skip")).experiment
    # Should the answer be lost on its way, the next call gets it again
    return client.launch(wanted, idempotency_key=sha256(wanted.model_dump_json().encode()).hexdigest())
