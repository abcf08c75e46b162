"""Seconds from the answer to a launch to the first metric point of the run, on a running, idle system.

    python -m benchmarks.launch_latency [--times 10]

The API is at DENSITYLAB_API_URL or its default address. The first launch may prepare data and is not counted.
"""

import argparse
import statistics
import time

import httpx

from densitylab.backend.shared.settings import Settings

GOAL_SECONDS = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=10)
    times = parser.parse_args().times
    settings = Settings()
    token = {"Authorization": f"Bearer {settings.api_token.get_secret_value()}"} if settings.api_token else {}
    with httpx.Client(base_url=f"{settings.api_url}/api/v1", headers=token, timeout=30) as http:
        taken = [first_point(http) for _ in range(times + 1)][1:]
    print("seconds:", " ".join(f"{seconds:.3f}" for seconds in sorted(taken)))
    print(f"median of {times}: {statistics.median(taken):.3f} s (goal: under {GOAL_SECONDS:g} s)")


def first_point(http: httpx.Client) -> float:
    """Launch the default run, wait for its first point, cancel it, and return the seconds."""
    answer = http.post("/experiments", json={"name": "launch latency"}).raise_for_status()
    began = time.perf_counter()
    run = answer.json()["runs"][0]
    while not any(series["points"] for series in metrics(http, run)):
        time.sleep(0.01)
    taken = time.perf_counter() - began
    http.post(f"/runs/{run}/cancel").raise_for_status()
    while http.get(f"/runs/{run}").raise_for_status().json()["status"] in ("queued", "running"):
        time.sleep(0.1)
    http.delete(f"/experiments/{answer.json()['id']}").raise_for_status()
    return taken


def metrics(http: httpx.Client, run: int) -> list[dict]:
    return http.get(f"/runs/{run}/metrics", params={"names": "loss"}).raise_for_status().json()["items"]


if __name__ == "__main__":
    main()
