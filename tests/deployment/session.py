"""A user's session at the composed system, run in the engine's network; prints what came out, as JSON.

`session.py complete`: launch an experiment, wait for its runs with their evaluations, and draw maps of them.
`session.py begin`: launch a run that is long enough to be interrupted, and return once it trains.
`session.py end`: wait for every run.
"""

import hashlib
import json
import sys
import time
from typing import Any

import httpx

from densitylab import connect

SMALL = {"epochs": 1, "train_samples": 300, "model": {"key": "mlp", "params": {"hidden": 16}}}
EVALUATIONS = [{"key": "leakage", "params": {"samples": 20}}, {"key": "pgd_linf", "params": {"samples": 20}}]


def main(step: str) -> dict[str, Any]:
    client = connect()
    answer: dict[str, Any] = {}
    if step == "complete":
        request = {"name": "composed", "spec": {**SMALL, "evaluations": EVALUATIONS}, "sweep": {"lambda_": [0, 0.1]}}
        started = time.monotonic()
        runs = client.wait(client.launch(request).id, timeout=600, check=True)
        answer["seconds"] = time.monotonic() - started
        maps = client.draw(
            {"runs": [run.id for run in runs], "method": "gradient", "samples": {"indices": [0, 1]}}, timeout=300
        )
        answer["page"] = httpx.get("http://127.0.0.1:8501/").status_code
        answer["maps"] = client.attribution_arrays(maps.id)["attributions"].shape
    elif step == "begin":
        run = client.launch({"name": "interrupted", "spec": {**SMALL, "epochs": 400, "evaluations": []}}).runs[0]
        while not client.metrics(run):
            time.sleep(0.2)
    elif step == "end":
        for run in client.every(client.runs):
            client.wait(run.experiment, timeout=600, check=True)
    answer["runs"] = {
        run.id: {
            "status": run.status.value,
            "results": sorted(run.results),
            "checkpoint": hashlib.sha256(client.artifact(run.id, "checkpoint.pt")).hexdigest(),
            "attempts": run.attempt,
        }
        for run in client.every(client.runs)
        if run.status.final
    }
    answer["degraded"] = client.readiness().degraded
    return answer


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
