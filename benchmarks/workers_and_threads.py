"""Time of the demo with one training worker on all cores, the earlier default, and with one worker per core.

    python -m benchmarks.workers_and_threads [--rounds 3] [--epochs 15] [--seeds 3] [--out FOLDER]

Starts a system for each and launches the demo on them in turn, calm and beside a spinning process per core. The ratios
compare times of the same round. Goal: beside the spinning processes the new default takes at most 2.5 times its time
without. Writes workers_and_threads.json and prints a table.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, cast

from benchmarks.markdown import markdown
from benchmarks.seed_database import free_port
from densitylab.backend.ops import devices
from densitylab.frontend.client import ApiClient, ApiError, connect
from densitylab.frontend.client.presets import DEMO

WAYS = {
    "one worker, all cores": {"DENSITYLAB_WORKERS": "1", "DENSITYLAB_THREADS": str(devices.cores())},
    "one worker per core": {"DENSITYLAB_WORKERS": "0", "DENSITYLAB_THREADS": "0"},
}
BEFORE, AFTER = WAYS
CONDITIONS = {"calm": 0, "beside a spinning process per core": devices.cores()}
CALM, SPINNING = CONDITIONS
GOAL = 2.5
UP_SECONDS, LIMIT_SECONDS = 600.0, 3600.0


@contextmanager
def system(way: str, stack: str) -> Iterator[ApiClient]:
    """Start a system of its own with these settings; stop it at the end."""
    port = free_port()
    home = Path(stack) / way.replace(" ", "-")
    home.mkdir()
    settings = {
        "DENSITYLAB_HOME": str(home),
        "DENSITYLAB_API_PORT": str(port),
        "DENSITYLAB_UI_PORT": str(free_port()),
        "CUDA_VISIBLE_DEVICES": "",
        **WAYS[way],
    }
    command = [sys.executable, "-P", "-m", "densitylab", "up"]
    with (home / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command, env={**os.environ, **settings}, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + UP_SECONDS
        while "DensityLab is up" not in (home / "log.txt").read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{way}: the system did not come up, see {home / 'log.txt'}")
            time.sleep(0.5)
        yield connect(f"http://127.0.0.1:{port}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


@contextmanager
def spinning(count: int) -> Iterator[None]:
    """Keep so many cores busy, from a session of its own as another user would."""
    code = f"import os\nfor _ in range({count - 1}):\n    if os.fork() == 0: break\nwhile os.getppid() != 1: pass"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True) if count else None
    try:
        yield
    finally:
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def demo_seconds(client: ApiClient, epochs: int, seeds: int) -> float:
    """Launch the demo with so many epochs and seeds; return the seconds until its last evaluation."""
    request = DEMO.request.model_copy(
        update={
            "spec": {**DEMO.request.spec, "epochs": epochs},
            "sweep": {**cast(dict[str, Any], DEMO.request.sweep), "seed": list(range(seeds))},
        }
    )
    began = time.monotonic()
    experiment = client.launch(request)
    try:
        runs = client.wait(experiment.id, timeout=LIMIT_SECONDS)
    except ApiError as error:
        raise SystemExit(f"the demo did not end: {error}") from error
    if any(run.status != "succeeded" for run in runs):
        raise SystemExit(f"not all succeeded: {[(run.id, run.status) for run in runs]}")
    return time.monotonic() - began


def measure(rounds: int, epochs: int, seeds: int) -> list[dict[str, object]]:
    """Return the seconds of each demo, with the load average at its start, in the order of the rounds."""
    measured: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, ExitStack() as stack:
        clients = {way: stack.enter_context(system(way, folder)) for way in WAYS}
        for client in clients.values():
            demo_seconds(client, 1, 1)  # prepares the data
        for round_ in range(rounds):
            for condition, spinners in CONDITIONS.items():
                for way in WAYS if round_ % 2 == 0 else reversed(WAYS):
                    load = os.getloadavg()[0]
                    with spinning(spinners):
                        seconds = demo_seconds(clients[way], epochs, seeds)
                    measured.append(
                        {"round": round_, "condition": condition, "way": way, "seconds": seconds, "load": load}
                    )
                    print(f"{round_}  {condition:36} {way:22} {seconds:7.1f} s   load {load:.1f}", flush=True)
    return measured


def ratio(measured: list[dict[str, object]], over: tuple[str, str], under: tuple[str, str]) -> float:
    """Return the median over rounds of the time of one (condition, way) over that of another."""
    seconds = {(item["round"], item["condition"], item["way"]): float(str(item["seconds"])) for item in measured}
    rounds = sorted({int(str(item["round"])) for item in measured})
    return median(seconds[number, *over] / seconds[number, *under] for number in rounds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure the demo with the earlier default of workers and the new one."
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    measured = measure(given.rounds, given.epochs, given.seeds)
    loads = sorted(float(str(item["load"])) for item in measured)
    heading = (
        f"{devices.cores()} cores of a virtual machine ({platform.machine()}); {3 * given.seeds} runs of "
        f"{given.epochs} epochs with their evaluations; {given.rounds} rounds; load average {loads[0]:.1f} to "
        f"{loads[-1]:.1f} before a demo; {time.strftime('%Y-%m-%d')}"
    )
    given.out.mkdir(parents=True, exist_ok=True)
    content = {"heading": heading, "rows": measured}
    (given.out / "workers_and_threads.json").write_text(json.dumps(content, indent=1) + "\n")
    rows = []
    for condition in CONDITIONS:
        cells = [
            median(
                float(str(item["seconds"])) for item in measured if (item["condition"], item["way"]) == (condition, way)
            )
            for way in WAYS
        ]
        rows.append(
            (
                condition,
                *(f"{cell:.0f}" for cell in cells),
                f"{ratio(measured, (condition, AFTER), (condition, BEFORE)):.2f}",
            )
        )
    print(heading, markdown(("median seconds of the demo", *WAYS, "ratio"), rows), sep="\n\n")
    for way in WAYS:
        slower = ratio(measured, (SPINNING, way), (CALM, way))
        print(f"\n{way}: {slower:.2f} times its calm time beside the spinning processes (goal: at most {GOAL:g})")


if __name__ == "__main__":
    main()
