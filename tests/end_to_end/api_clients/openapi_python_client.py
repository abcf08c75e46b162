"""A session with the client of openapi-python-client, synchronous as its users write it."""

import json
import os
import time

from density_lab_client import AuthenticatedClient
from density_lab_client.api.attributions import ask_for_attribution, download_arrays, get_attribution
from density_lab_client.api.experiments import delete_experiment, get_experiment, launch_experiment
from density_lab_client.api.metrics import get_run_metrics
from density_lab_client.api.runs import cancel_run, list_runs
from density_lab_client.models import (
    Attribution,
    AttributionRequest,
    Deleted,
    Experiment,
    ExperimentRequest,
    ExperimentRequestSweepType0Type0,
    MetricPage,
    Problem,
    Run,
    RunPage,
    RunSpec,
    Samples,
    Status,
)
from density_lab_client.types import File

# A system without a token ignores it
client = AuthenticatedClient(
    base_url=os.environ["DENSITYLAB_API_URL"], token=os.environ.get("DENSITYLAB_API_TOKEN", "none")
)


def launch(spec: RunSpec, lambdas: list[float]) -> Experiment:
    sweep = ExperimentRequestSweepType0Type0.from_dict({"lambda_": lambdas})
    answer = launch_experiment.sync(client=client, body=ExperimentRequest(name="python", spec=spec, sweep=sweep))
    assert isinstance(answer, Experiment), answer
    return answer


def finished(number: int) -> Experiment:
    while True:
        answer = get_experiment.sync(number, client=client)
        assert isinstance(answer, Experiment), answer
        if answer.finished:
            return answer
        time.sleep(0.5)


measured = launch(RunSpec(epochs=1, train_samples=200, evaluations=[]), [0, 0.1])
finished(measured.id)
page = list_runs.sync(client=client, experiment=[measured.id])
assert isinstance(page, RunPage), page
accuracy = page.items[0].results.additional_properties["accuracy.accuracy"]
curves = get_run_metrics.sync(page.items[0].id, client=client)
assert isinstance(curves, MetricPage), curves
samples = Samples(indices=[0, 1])
maps = ask_for_attribution.sync(
    client=client, body=AttributionRequest(runs=[run.id for run in page.items], samples=samples)
)
while isinstance(maps, Attribution) and maps.status in (Status.QUEUED, Status.RUNNING):
    time.sleep(0.3)
    maps = get_attribution.sync(maps.id, client=client)
assert isinstance(maps, Attribution), maps
arrays = download_arrays.sync(maps.id, client=client)
assert isinstance(arrays, File), arrays

long = launch(RunSpec(epochs=5000), [0.1])
for number in long.runs:
    answer = cancel_run.sync(number, client=client)
    assert isinstance(answer, Run), answer
cancelled = finished(long.id)
refused = get_experiment.sync(2**31 - 1, client=client)
assert isinstance(refused, Problem) and refused.errors[0].pointer == "/path/experiment_id"
for number in (measured.id, long.id):
    assert isinstance(delete_experiment.sync(number, client=client), Deleted)
seen = {
    "evaluated": accuracy.n,
    "points": len(curves.items[0].points),
    "panels": len(maps.panels),
    "bytes": len(arrays.payload.read()),
    "cancelled": cancelled.counts.additional_properties.get("cancelled", 0),
}
print(json.dumps(seen))
