"""Send 100,000 hostile requests to an API: no 5xx, no undeclared status, no file written elsewhere.

    python -m benchmarks.fuzz [--requests 100000] [--connections 3000] [--database sqlite|postgresql] [--seed 1]
                              [--json FILE]

schemathesis draws requests from the OpenAPI document, half of them invalid (`--each` per operation and kind). Each is
sent unchanged, with ids that exist, or with a part replaced from the lists of `hostile_requests.py`. One in a hundred
is raw bytes on a socket. The API is a real process with a token, on a database whose runs were trained and evaluated by
the real jobs. The script checks every status (declared for the operation, no 5xx, 401 for a wrong token), that no
header was injected and no outside file was read, the files of the sandbox at the end, and the memory of the server over
time. Then come two rounds of hostile connections (`hostile_connections.py`), during which /healthz must answer, and
requests for wrong hosts to page and API. For PostgreSQL it creates a database on the server at 127.0.0.1:5432.
"""

import argparse
import asyncio
import collections
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11
import httpx
import psutil
import schemathesis
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from benchmarks.hostile_connections import Attack, attack, wrong_hosts
from benchmarks.hostile_requests import BODIES, CANARY, RAW, Request, aimed, drawn, modified_request
from benchmarks.seed_database import ROOT, api, broker, free_port, page
from densitylab.backend.ops import migrate
from densitylab.backend.shared.settings import Settings

POSTGRESQL = "postgresql+psycopg://postgres@127.0.0.1:5432"
TOKEN = "t0ken-of-the-fuzzer"
SECRET = "what-no-answer-may-hold"
AT_ONCE = 6
MEMORY_EVERY = 500  # requests
FLAT = 1.10  # largest ratio of the mean memory in the last quarter to that in the second
# Run all waiting jobs in a separate process, as workers would
JOBS = """
import importlib, sys
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import outbox
database = Database(Settings().database_url)
while True:
    with database.read() as session:
        waiting = outbox.undelivered(session)
    if not waiting:
        break
    for item in sorted(waiting, key=lambda item: item.kind != "prepare"):
        importlib.import_module(f"densitylab.worker.jobs.{item.kind}").run(item.task_id)
"""


@dataclass
class Outcome:
    """Counts of requests, answers and faults."""

    drawn: int = 0
    sent: dict[str, int] = field(default_factory=collections.Counter)  # by operation
    statuses: dict[int, int] = field(default_factory=collections.Counter)
    unchanged: int = 0
    modified: int = 0
    raw: int = 0
    refused_by_client: dict[str, int] = field(default_factory=collections.Counter)
    faults: dict[str, int] = field(default_factory=collections.Counter)
    examples: dict[str, str] = field(default_factory=dict)  # the first of each fault
    megabytes: list[float] = field(default_factory=list)
    seconds: float = 0.0
    attacks: list[Attack] = field(default_factory=list)

    def fault(self, what: str, example: str) -> None:
        self.faults[what] += 1
        self.examples.setdefault(what, example[:600])


class Fuzzer:
    """Sends requests and checks the answers against the OpenAPI document."""

    def __init__(self, document: dict[str, Any], pool: list[list[Request]], server: psutil.Process, seed: int) -> None:
        self._paths, self._pool, self._server = document["paths"], pool, server
        self._chance = random.Random(seed)
        self.outcome = Outcome(drawn=sum(map(len, pool)))
        self._left = 0

    async def send(self, root: str, count: int) -> None:
        self._left = count
        limits = httpx.Limits(max_connections=AT_ONCE)
        async with httpx.AsyncClient(base_url=root, timeout=60, limits=limits) as http:
            await asyncio.gather(*(self._work(http) for _ in range(AT_ONCE)))

    async def _work(self, http: httpx.AsyncClient) -> None:
        while self._left > 0:
            self._left -= 1
            if self._left % MEMORY_EVERY == 0:
                self.outcome.megabytes.append(self._server.memory_info().rss / 1e6)
            if self._chance.random() < 0.01:
                await self._send_raw(http.base_url.port or 80)
                continue
            request = self._next()
            self.outcome.sent[request.label] += 1
            try:
                await self._send(http, request)
            except (httpx.LocalProtocolError, h11.LocalProtocolError, UnicodeEncodeError) as error:
                self.outcome.refused_by_client[str(error)[:60]] += 1  # the raw requests cover these cases
            except httpx.HTTPError as error:
                self.outcome.fault(f"no answer: {type(error).__name__}", repr(request))

    def _next(self) -> Request:
        request = self._chance.choice(self._chance.choice(self._pool))
        kind = self._chance.random()
        if kind < 0.2:
            self.outcome.unchanged += 1
            return request
        if kind < 0.35:
            return aimed(request, self._chance)
        self.outcome.modified += 1
        if kind < 0.37:
            method = self._chance.choice(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "BREW"])
            return Request(method, request.template, request.path, request.query, request.headers)
        if kind < 0.39:
            path = request.template + self._chance.choice(["/", "//", "/..%2f", "/.", ";a=b", "%00", f"/../{CANARY}"])
            return Request(
                request.method, path, request.path, request.query, request.headers, request.body, request.has_body
            )
        if kind < 0.40:
            form = {"Content-Type": "multipart/form-data; boundary=x"}
            return Request(
                "POST", "/api/v1/registrations/archive", headers=form, body=self._chance.choice(BODIES), has_body=True
            )
        return modified_request(request, self._chance)

    async def _send(self, http: httpx.AsyncClient, request: Request) -> None:
        given = {"Authorization": f"Bearer {TOKEN}", **request.headers}
        sent = http.build_request(
            request.method,
            "/",
            headers=[(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in given.items()],
            content=request.content(),
            extensions={"target": request.target()},
        )
        answer = await http.send(sent, stream=True)
        try:
            streams = answer.headers.get("content-type", "").startswith("text/event-stream")
            content = b"" if streams else await answer.aread()
        finally:
            await answer.aclose()
        self._judge(request, given, answer, content)

    def _judge(self, request: Request, given: dict[str, str], answer: httpx.Response, content: bytes) -> None:
        status = answer.status_code
        self.outcome.statuses[status] += 1
        operation = self._paths.get(request.template, {}).get(request.method.lower())
        declared = None if operation is None else {int(number) for number in operation["responses"]}
        exchange = f"{request!r} -> {status} {content[:300]!r}"
        if status >= 500 and status != 503:
            self.outcome.fault(f"{status} at {request.label}", exchange)
        elif declared is not None and status not in declared:
            self.outcome.fault(f"undeclared {status} at {request.label}", exchange)
        elif status < 400 and (given["Authorization"] != f"Bearer {TOKEN}") and "/api/" in request.template:
            self.outcome.fault(f"accepted without a token at {request.label}", exchange)
        if "x-injected" in answer.headers:
            self.outcome.fault("a header was injected", exchange)
        if SECRET.encode() in content or b"root:x:0:" in content:
            self.outcome.fault("a file outside was read", exchange)

    async def _send_raw(self, port: int) -> None:
        self.outcome.raw += 1
        data = self._chance.choice(RAW)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(2**16), 30)
        except ConnectionError:
            answer = b""
        except TimeoutError:
            answer = b""
            self.outcome.fault("invalid bytes keep a connection open", repr(data[:200]))
        finally:
            writer.close()
        if answer.split(b" ", 2)[1:2] and answer.split(b" ", 2)[1].startswith(b"5"):
            self.outcome.fault("5xx to raw bytes", f"{data[:200]!r} -> {answer[:200]!r}")
        if b"\nx-injected" in answer.lower() or b"root:x:0:" in answer:
            self.outcome.fault("raw bytes were accepted as a request", f"{data[:200]!r} -> {answer[:200]!r}")


@contextmanager
def database_url(kind: str) -> Iterator[str]:
    """Yield the URL of an empty database; "" is SQLite in the state folder."""
    if kind == "sqlite":
        yield ""
        return
    name = f"dl_fuzz_{uuid.uuid4().hex[:8]}"
    server = create_engine(f"{POSTGRESQL}/postgres", isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield f"{POSTGRESQL}/{name}"
    finally:
        with server.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        server.dispose()


def populate(settings: Settings, http: httpx.Client) -> None:
    """Create three trained and evaluated runs and sixty queued ones."""
    measures = [{"key": "accuracy"}, {"key": "leakage"}]
    model = {"key": "mlp", "params": {"hidden": 8}}
    small = {"epochs": 1, "train_samples": 200, "evaluations": measures, "model": model}
    http.post("/experiments", json={"spec": small, "sweep": {"seed": [0, 1, 2]}}).raise_for_status()
    environment = {
        **os.environ,
        "DENSITYLAB_HOME": str(settings.home),
        "DENSITYLAB_DATABASE_URL": settings.database_url,
        "DENSITYLAB_REDIS_URL": "unix:///nowhere",
        "DENSITYLAB_THREADS": "1",
    }
    subprocess.run([sys.executable, "-c", JOBS], env=environment, cwd=ROOT, check=True)
    http.post("/experiments", json={"spec": small, "sweep": {"seed": list(range(60))}}).raise_for_status()


def unexpected_files(sandbox: Path, home: Path, before: set[Path]) -> list[str]:
    """List new files that belong neither to the artifacts nor to the database or the broker."""
    own = (home / "artifacts", home / "data", home / "broker")
    return [
        str(path.relative_to(sandbox))
        for path in set(sandbox.rglob("*")) - before
        if not any(path == folder or folder in path.parents for folder in own)
        and not path.name.startswith("densitylab.sqlite")
    ] + [str(path) for folder in (ROOT, Path("/tmp"), Path("/"), Path.home()) for path in folder.glob(f"*{CANARY}*")]


def attack_connections(settings: Settings, server: psutil.Process, number: int, seed: int, outcome: Outcome) -> None:
    """Attack the API twice with hostile connections, and ask API and page for wrong hosts."""
    for index in range(2):
        outcome.attacks.append(asyncio.run(attack(settings.api_port, TOKEN, number, server, seed + index)))
        for what, times in outcome.attacks[-1].faults.items():
            outcome.fault(what, f"{times} times in round {index + 1}")
    first, second = outcome.attacks
    if second.descriptors[-1] > first.descriptors[-1] + 5:
        outcome.fault("descriptors grew", f"{first.descriptors} {second.descriptors}")
    if max(second.megabytes) > FLAT * max(first.megabytes):
        outcome.fault("memory grew", f"{max(first.megabytes):.0f} MB, then {max(second.megabytes):.0f} MB")
    with page(settings):
        for port, path in (
            (settings.api_port, "/healthz"),
            (settings.ui_port, "/"),
            (settings.ui_port, "/_stcore/health"),
        ):
            for host in wrong_hosts(port, path):
                outcome.fault(f"{path} at port {port} was served to a wrong host", repr(host))


def measure(kind: str, count: int, number: int, each: int, seed: int) -> Outcome:
    with (
        tempfile.TemporaryDirectory(prefix="dl-fuzz-") as folder,
        database_url(kind) as url,
        ExitStack() as stack,
    ):
        sandbox = Path(folder)
        home = sandbox / "deep" / "down" / "home"
        home.mkdir(parents=True)
        (sandbox / "deep" / "secret.txt").write_text(SECRET)
        settings = Settings(home=home, api_port=free_port(), ui_port=free_port(), database_url=url)
        migrate.upgrade(settings)
        open_settings = settings.model_copy(update={"api_port": free_port()})
        with broker(settings):
            with api(open_settings) as (http, _):
                populate(settings, http)
            guarded = settings.model_copy(update={"api_token": SecretStr(TOKEN)})
            log = stack.enter_context((sandbox.parent / f"{sandbox.name}.log").open("wb"))
            print(f"the log of the server is {log.name}")
            with api(guarded, log.fileno()) as (http, server):
                root = f"http://127.0.0.1:{settings.api_port}"
                document = http.get(f"{root}/openapi.json").json()
                began = time.monotonic()
                pool = [requests for requests in drawn(schemathesis.openapi.from_dict(document), each) if requests]
                print(
                    f"{sum(map(len, pool))} requests to {len(pool)} operations drawn in "
                    f"{time.monotonic() - began:.0f} s",
                    flush=True,
                )
                before = set(sandbox.rglob("*"))
                fuzzer = Fuzzer(document, pool, server, seed)
                began = time.monotonic()
                asyncio.run(fuzzer.send(root, count))
                fuzzer.outcome.seconds = time.monotonic() - began
                attack_connections(settings, server, number, seed, fuzzer.outcome)
                if not server.is_running() or http.get(f"{root}/healthz").status_code != 200:
                    fuzzer.outcome.fault("the server did not survive", "")
                for path in unexpected_files(sandbox, home, before):
                    fuzzer.outcome.fault("a file outside the artifacts", path)
    growth = growth_of(fuzzer.outcome.megabytes)
    if growth > FLAT:
        fuzzer.outcome.fault("memory grew", f"by a factor of {growth:.2f}: {fuzzer.outcome.megabytes}")
    return fuzzer.outcome


def growth_of(megabytes: list[float]) -> float:
    """Return mean memory of the last quarter over that of the second, when all caches are filled."""
    quarter = len(megabytes) // 4
    if quarter == 0:
        return 1.0
    return statistics.mean(megabytes[-quarter:]) / statistics.mean(megabytes[quarter : 2 * quarter])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=3000, help="hostile connections in each of two rounds")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--each", type=int, default=40, help="requests drawn per operation, valid and invalid each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    outcome = measure(arguments.database, arguments.requests, arguments.connections, arguments.each, arguments.seed)
    for label, times in sorted(outcome.sent.items()):
        print(f"{times:>8}  {label[:100]!a}")
    total = sum(outcome.statuses.values())
    print(
        f"{total} answers, {outcome.raw} raw, on {arguments.database} in {outcome.seconds:.0f} s "
        f"({total / outcome.seconds:.0f} a second); {outcome.drawn} drawn, unchanged {outcome.unchanged}, "
        f"modified {outcome.modified}; statuses {dict(sorted(outcome.statuses.items()))}"
    )
    print(f"refused by the client: {dict(outcome.refused_by_client)!a}")
    if outcome.megabytes:
        print(
            f"memory of the server: {outcome.megabytes[0]:.0f} MB at first, {max(outcome.megabytes):.0f} at most, "
            f"{outcome.megabytes[-1]:.0f} at last; last quarter over second: {growth_of(outcome.megabytes):.3f}"
        )
    for item in outcome.attacks:
        print(
            f"{sum(item.kinds.values())} hostile connections: answers {dict(sorted(item.answers.items()))}; refused "
            f"{item.refused_clients}, counted by the server {item.refused_counted:.0f}; descriptors {item.descriptors} "
            f"(before, at most, after), memory at most {max(item.megabytes):.0f} MB"
        )
    for what, times in sorted(outcome.faults.items()):
        print(f"FAULT, {times} times: {what!a}\n    {outcome.examples[what]!a}")
    print("nothing was wrong" if not outcome.faults else f"{sum(outcome.faults.values())} faults")
    if arguments.json:
        arguments.json.write_text(json.dumps(vars(outcome), indent=2, default=vars) + "\n")
    raise SystemExit(1 if outcome.faults else 0)


if __name__ == "__main__":
    main()
