"""What can happen to a running system: its processes are killed or paused, its disk fills, its broker loses its log,
its users cancel, delete and register."""

import contextlib
import io
import json
import os
import random
import subprocess
import tempfile
import threading
import time
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil
from PIL import Image

from benchmarks.temp_postgres import TempPostgres
from benchmarks.whole_system import belonging

DOWN = (0.0, 3.0)  # seconds until the database is restarted; the launcher restarts the others at once
PAUSED = (1.0, 25.0)  # seconds; a lease lasts 15
FULL = (2.0, 12.0)  # seconds until there is room again
DISK_BYTES = 2**30
COMMANDS = {
    "worker": "densitylab.worker.main training",
    "interactive worker": "densitylab.worker.main interactive",
    "broker": "valkey-server",
    "api": "densitylab.backend.api.server",
    "reconciler": "densitylab.backend.reconciler",
}


@dataclass
class Record:
    """What was done, and what may therefore be missing at the end."""

    actions: list[tuple[float, str, str]] = field(default_factory=list)  # (seconds, kind, what)
    deleted: set[int] = field(default_factory=set)  # runs whose deletion was requested, perhaps without an answer
    registered: dict[str, bool] = field(default_factory=dict)  # key of each accepted one: whether it was cancelled
    removed: set[str] = field(default_factory=set)  # data sets whose removal was requested

    def count(self) -> Counter[str]:
        """Return the number of actions by kind."""
        return Counter(kind for _, kind, _ in self.actions)


class Disturber(threading.Thread):
    """Do something at random intervals until `stopped` is set; each kind once before any kind is done again."""

    def __init__(
        self, kinds: dict[str, Callable[[], str | None]], pause: tuple[float, float], seed: int, record: Record
    ) -> None:
        super().__init__(name=f"disturber of {len(kinds)} kinds")
        self._kinds, self._pause, self._record = kinds, pause, record
        self._chance = random.Random(seed)
        self.stopped = threading.Event()

    def run(self) -> None:
        began = time.monotonic()
        while not self.stopped.wait(self._chance.uniform(*self._pause)):
            times = self._record.count()
            for kind in sorted(
                self._chance.sample(sorted(self._kinds), len(self._kinds)), key=lambda kind: times[kind]
            ):
                if (what := self._kinds[kind]()) is not None:
                    self._record.actions.append((round(time.monotonic() - began, 1), kind, what))
                    print(f"{time.monotonic() - began:7.1f} s  {kind}: {what}", flush=True)
                    break


class Processes:
    """Kill and pause processes of one system. Each method describes what it did; None where there is no such process
    at the moment."""

    def __init__(self, home: Path, postgres: TempPostgres | None, chance: random.Random) -> None:
        self._home, self._postgres, self._chance = home, postgres, chance

    def kill(self, kind: str) -> str | None:
        victim = self._one(kind)
        if victim is None:
            return None
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
        return f"process {victim.pid}"

    def pause(self, kind: str) -> str | None:
        """Stop a process, with its job if it is a worker, and let it go on."""
        victim = self._one(kind)
        if victim is None:
            return None
        seconds = self._chance.uniform(*PAUSED)
        with contextlib.suppress(psutil.NoSuchProcess):
            group = [victim, *victim.children()]
            for process in group:
                process.suspend()
            time.sleep(seconds)
            for process in group:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()
        return f"process {victim.pid}, for {seconds:.1f} s"

    def kill_database(self) -> str:
        assert self._postgres is not None
        self._postgres.kill()
        down = self._chance.uniform(*DOWN)
        time.sleep(down)
        self._postgres.start()
        return f"restarted after {down:.1f} s"

    def damage_broker_log(self) -> str | None:
        """Let the broker crash with a log that is overwritten in the middle, ends in zeroes, or is gone."""
        victim = self._one("broker")
        logs = [path for path in (self._home / "broker" / "appendonlydir").rglob("*.aof") if path.stat().st_size > 0]
        if victim is None or not logs:
            return None
        victim.suspend()
        how = self._chance.choice(["overwritten", "zeroes at its end", "deleted"])
        for path in logs:
            size = path.stat().st_size
            with path.open("r+b") as log:
                log.seek(size // 2 if how == "overwritten" else size)
                log.write(self._chance.randbytes(min(size, 64)) if how == "overwritten" else bytes(4096))
            if how == "deleted":
                path.unlink()
        victim.kill()
        return how

    def _one(self, kind: str) -> psutil.Process | None:
        found = jobs(self._home) if kind == "job" else of_kind(self._home, kind)
        return self._chance.choice(found) if found else None


def of_kind(home: Path, kind: str) -> list[psutil.Process]:
    processes = []
    for process in sorted(belonging(home), key=lambda process: process.pid):
        with contextlib.suppress(psutil.Error):
            parent = process.parent()
            # A job is forked from its worker and has the same command line
            is_job = parent is not None and COMMANDS["worker"] in " ".join(parent.cmdline())
            if COMMANDS[kind] in " ".join(process.cmdline()) and not is_job:
                processes.append(process)
    return processes


def jobs(home: Path) -> list[psutil.Process]:
    children = []
    for worker in of_kind(home, "worker"):
        with contextlib.suppress(psutil.Error):
            children += worker.children()
    return children


class Users:
    """Requests of users. Each method describes what it did; None where there is nothing to do it to, or no answer."""

    def __init__(
        self, http: httpx.Client, runs: Callable[[], list[int]], chance: random.Random, record: Record
    ) -> None:
        self._http, self._runs, self._chance, self._record = http, runs, chance, record
        self._images = zipped_images()

    def cancel(self) -> str | None:
        """Cancel a run; then continue it or delete it."""
        run = self._chosen(finished=False)
        if run is None or self._send("POST", f"/runs/{run}/cancel") is None:
            return None
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            answer = self._send("GET", f"/runs/{run}")
            if answer is not None and answer.json()["status"] in ("cancelled", "succeeded", "failed"):
                break
            time.sleep(0.5)
        if self._chance.random() < 0.5:
            return f"run {run}, to be continued"
        self._record.deleted.add(run)
        self._send("DELETE", f"/runs/{run}")
        return f"run {run}, and deleted it"

    def register(self) -> str | None:
        """Register a data set; cancel every second one at any moment."""
        key = f"birds_{uuid.UUID(int=self._chance.getrandbits(128)).hex[:12]}"
        answer = self._send(
            "POST",
            "/registrations/archive",
            files={"archive": ("birds.zip", self._images)},
            data={"request": json.dumps({"label": key})},
        )
        if answer is None:
            return None
        cancelled = self._chance.random() < 0.5
        self._record.registered[key] = cancelled
        if cancelled:
            time.sleep(self._chance.uniform(0, 4))
            self._send("POST", f"/tasks/{answer.json()['id']}/cancel")
        return f"{key}{', and cancelled it' if cancelled else ''}"

    def remove(self) -> str | None:
        """Remove a registered data set; every second one is left."""
        keys = [key for key in list(self._record.registered)[::2] if key not in self._record.removed]
        if not keys:
            return None
        key = self._chance.choice(keys)
        self._record.removed.add(key)
        answer = self._send("DELETE", f"/datasets/{key}")
        return f"{key}, {'refused' if answer is None else 'done'}"

    def draw(self) -> str | None:
        """Request maps of a trained run."""
        run = self._chosen(finished=True)
        if run is None:
            return None
        body = {"runs": [run], "samples": {"indices": [self._chance.randrange(100)]}}
        return None if self._send("POST", "/attributions", json=body) is None else f"run {run}"

    def _chosen(self, *, finished: bool) -> int | None:
        runs = self._runs()
        self._chance.shuffle(runs)
        for run in runs:
            answer = self._send("GET", f"/runs/{run}")
            if answer is not None and (answer.json()["status"] == "succeeded") == finished:
                return run
        return None

    def _send(self, method: str, path: str, **content: object) -> httpx.Response | None:
        """Return the answer; None where there is none or it is a refusal."""
        try:
            answer = self._http.request(method, path, **content)  # type: ignore[arg-type]
        except httpx.HTTPError:
            return None
        return answer if answer.is_success else None


def zipped_images() -> bytes:
    """Return a zip of two classes of random images, some 3 MB."""
    chance = np.random.default_rng(0)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(1000):
            picture = io.BytesIO()
            Image.fromarray(chance.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(picture, "PNG")
            archive.writestr(f"{('land', 'water')[number % 2]}/{number}.png", picture.getvalue())
    return file.getvalue()


class Disk:
    """A small file system for the state folder, which can be filled; only root can mount one."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._folder, self._chance = folder, chance

    def fill(self) -> str:
        filler = self._folder / "filler"
        try:
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(2**20))
            time.sleep(seconds := self._chance.uniform(*FULL))
        finally:
            filler.unlink(missing_ok=True)
        return f"for {seconds:.1f} s"


@contextlib.contextmanager
def small_disk(chance: random.Random) -> Iterator[tuple[Path, Disk | None]]:
    """Yield a temporary folder, and its disk if a file system of its own could be mounted there."""
    with tempfile.TemporaryDirectory(prefix="dl-chaos-") as name:
        folder = Path(name)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", name]
        mounted = os.geteuid() == 0 and subprocess.run(mount, stderr=subprocess.DEVNULL).returncode == 0
        if not mounted:
            print("the disk is not filled, since this process may not mount a file system", flush=True)
        try:
            yield folder, Disk(folder, chance) if mounted else None
        finally:
            if mounted:
                subprocess.run(["umount", "--lazy", name], check=True)
