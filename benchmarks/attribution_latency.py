"""Seconds from requesting maps of 8 images under 4 runs to downloading their arrays, on a running system.

    python -m benchmarks.attribution_latency [--times 10]

Four figures: gradients on an idle system, gradients during a training, a repeated request, and integrated gradients of
32 steps on an idle system. The API is at DENSITYLAB_API_URL or its default address.
"""

import argparse
import statistics
import time

import httpx

from densitylab.backend.shared.settings import Settings

RUNS, IMAGES = 4, 8
GOALS = {"idle": 1.0, "training": 2.0, "cached": 0.2, "integrated gradients": 4.0}
QUICK = {"epochs": 1, "evaluations": []}
LONG = {"epochs": 500, "evaluations": []}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=10)
    times = parser.parse_args().times
    settings = Settings()
    token = {"Authorization": f"Bearer {settings.api_token.get_secret_value()}"} if settings.api_token else {}
    with httpx.Client(base_url=f"{settings.api_url}/api/v1", headers=token, timeout=30) as http:
        trained = launch(http, QUICK, {"seed": list(range(RUNS))})
        for run in trained["runs"]:
            wait(http, f"/runs/{run}", ("succeeded",))
        maps(http, trained["runs"], 0)  # loads the models
        report("idle", [maps(http, trained["runs"], 1 + turn) for turn in range(times)])
        report("cached", [maps(http, trained["runs"], 1 + turn) for turn in range(times)])
        report(
            "integrated gradients",
            [maps(http, trained["runs"], 1 + turn, "integrated_gradients") for turn in range(times)],
        )
        training = launch(http, LONG, None)
        wait(http, f"/runs/{training['runs'][0]}", ("running",))
        time.sleep(2)
        report("training", [maps(http, trained["runs"], 1 + times + turn) for turn in range(times)])
        http.post(f"/runs/{training['runs'][0]}/cancel").raise_for_status()
        for experiment in (training, trained):
            for run in experiment["runs"]:
                wait(http, f"/runs/{run}", ("succeeded", "cancelled"))
            until_deleted(http, experiment["id"])


def launch(http: httpx.Client, spec: dict, sweep: dict | None) -> dict:
    body = {"name": "attribution latency", "spec": spec, "sweep": sweep}
    return http.post("/experiments", json=body).raise_for_status().json()


def wait(http: httpx.Client, path: str, statuses: tuple[str, ...]) -> None:
    while (status := http.get(path).raise_for_status().json()["status"]) not in statuses:
        if status == "failed":
            raise SystemExit(f"{path} failed")
        time.sleep(0.1)


def until_deleted(http: httpx.Client, experiment: int) -> None:
    """Delete the experiment, once its evaluations have ended."""
    while http.delete(f"/experiments/{experiment}").status_code == 409:
        time.sleep(0.5)


def maps(http: httpx.Client, runs: list[int], turn: int, method: str = "gradient") -> float:
    """Request maps of the `turn`-th eight images, download them, and return the seconds."""
    indices = list(range(turn * IMAGES, (turn + 1) * IMAGES))
    began = time.perf_counter()
    body = {"runs": runs, "method": method, "samples": {"split": "test", "indices": indices}, "target": "label"}
    answer = http.post("/attributions", json=body).raise_for_status().json()
    while answer["status"] != "succeeded":
        if answer["status"] in ("failed", "cancelled"):
            raise SystemExit(answer["error"])
        time.sleep(0.01)
        answer = http.get(f"/attributions/{answer['id']}").raise_for_status().json()
    http.get(f"/attributions/{answer['id']}/arrays").raise_for_status()
    return time.perf_counter() - began


def report(name: str, taken: list[float]) -> None:
    print(
        f"{name}: median of {len(taken)} {statistics.median(taken):.3f} s, slowest {max(taken):.3f} s "
        f"(goal: under {GOALS[name]:g} s)"
    )


if __name__ == "__main__":
    main()
