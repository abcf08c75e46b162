"""Seconds until a running system refuses a hostile image, and the memory of its API process before and after.

    python -m benchmarks.hostile_uploads [--times 5]

The API is at DENSITYLAB_API_URL or its default address; it must run on this machine.
"""

import argparse
import time

import httpx
import psutil

from densitylab.backend.shared.settings import Settings
from tests.backend.api.test_api_uploads import HOSTILE

GOAL = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5)
    times = parser.parse_args().times
    settings = Settings()
    port = httpx.URL(settings.api_url).port
    process = next(
        psutil.Process(item.pid)
        for item in psutil.net_connections("tcp")
        if item.pid and item.status == "LISTEN" and item.laddr.port == port
    )
    token = {"Authorization": f"Bearer {settings.api_token.get_secret_value()}"} if settings.api_token else {}
    headers = {"Content-Type": "application/octet-stream", **token}
    with httpx.Client(base_url=f"{settings.api_url}/api/v1", headers=headers, timeout=30) as http:
        for name, (make, _) in HOSTILE.items():
            content = make()
            before, taken = process.memory_info().rss, []
            for _ in range(times):
                began = time.perf_counter()
                answer = http.post("/uploads", params={"dataset": "blockmnist"}, content=content)
                taken.append(time.perf_counter() - began)
                if answer.status_code != 422:
                    raise SystemExit(f"{name}: answered {answer.status_code}")
            grown = (process.memory_info().rss - before) / 2**20
            print(f"{name}: slowest of {times} {max(taken):.3f} s (goal: under {GOAL:g} s), {grown:+.1f} MiB")


if __name__ == "__main__":
    main()
