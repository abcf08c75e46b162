"""A session with models of datamodel-code-generator and httpx."""

import json
import os
import time

import httpx
from models import (
    Attribution,
    AttributionRequest,
    Experiment,
    ExperimentRequest,
    MetricPage,
    Run,
    RunPage,
    RunSpec,
    Status,
)
from pydantic import BaseModel

api = httpx.Client(base_url=os.environ["DENSITYLAB_API_URL"] + "/api/v1", timeout=30)


def post(path: str, body: BaseModel | None = None) -> bytes:
    content = b"" if body is None else body.model_dump_json(exclude_unset=True).encode()
    answer = api.post(path, content=content, headers={"Content-Type": "application/json"})
    return answer.raise_for_status().content


def get(path: str) -> bytes:
    return api.get(path).raise_for_status().content


def launch(spec: RunSpec, lambdas: list[float]) -> Experiment:
    request = ExperimentRequest(name="datamodel", spec=spec, sweep={"lambda_": list(lambdas)})
    return Experiment.model_validate_json(post("/experiments", request))


def finished(number: int) -> Experiment:
    while not (answer := Experiment.model_validate_json(get(f"/experiments/{number}"))).finished:
        time.sleep(0.5)
    return answer


measured = launch(RunSpec.model_validate({"epochs": 1, "train_samples": 200, "evaluations": []}), [0, 0.1])
finished(measured.id)
runs = RunPage.model_validate_json(get(f"/runs?experiment={measured.id}")).items
accuracy = runs[0].results["accuracy.accuracy"]
curves = MetricPage.model_validate_json(get(f"/runs/{runs[0].id}/metrics"))
request = AttributionRequest.model_validate({"runs": [run.id for run in runs], "samples": {"indices": [0, 1]}})
maps = Attribution.model_validate_json(post("/attributions", request))
while maps.status in (Status.queued, Status.running):
    time.sleep(0.3)
    maps = Attribution.model_validate_json(get(f"/attributions/{maps.id}"))
arrays = get(f"/attributions/{maps.id}/arrays")

long = launch(RunSpec(epochs=5000), [0.1])
for number in long.runs:
    Run.model_validate_json(post(f"/runs/{number}/cancel"))
cancelled = finished(long.id)
for number in (measured.id, long.id):
    api.delete(f"/experiments/{number}").raise_for_status()
seen = {
    "evaluated": accuracy.n,
    "points": len(curves.items[0].points),
    "panels": len(maps.panels),
    "bytes": len(arrays),
    "cancelled": cancelled.counts.get(Status.cancelled, 0) if cancelled.counts else 0,
}
print(json.dumps(seen))
