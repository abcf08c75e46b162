"""Connections that are half-sent, silent, too many, or lie about their length, for `fuzz.py`."""

import asyncio
import random
import re
from collections import Counter
from dataclasses import dataclass, field

import httpx
import psutil

AT_ONCE = 700  # more than the API's limit of 500
CLOSED_WITHIN = 45.0  # seconds
WRONG_HOSTS = (
    b"evil.example",
    b"",
    b"localhost.evil.example",
    b"127.0.0.1@evil.example",
    b"[::2]",
    b"a\xff",
    b"0.0.0.0",
)
ARCHIVE = b"POST /api/v1/registrations/archive HTTP/1.1\r\n"
LAUNCH = b"POST /api/v1/experiments HTTP/1.1\r\nContent-Type: application/json\r\n"
MULTIPART = b"Content-Length: 2000000000\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"


@dataclass
class Attack:
    """What one round of hostile connections got, and what the server used."""

    kinds: dict[str, int] = field(default_factory=Counter)
    answers: dict[str, int] = field(default_factory=Counter)
    faults: dict[str, int] = field(default_factory=Counter)
    refused_clients: int = 0  # as the clients count them
    refused_counted: float = 0.0  # as the server's metrics count them
    descriptors: list[int] = field(default_factory=list)  # before, at most, after
    megabytes: list[float] = field(default_factory=list)


def connections(host: bytes, token: bytes) -> dict[str, tuple[bytes, ...]]:
    """Return the bytes of each kind of connection."""
    known = b"Host: " + host + b"\r\n"
    trusted = known + b"Authorization: Bearer " + token + b"\r\n"
    chunked = LAUNCH + trusted + b"Transfer-Encoding: chunked\r\n\r\n"
    health = b"GET /healthz HTTP/1.1\r\n" + known + b"\r\n"
    return {
        "silent": (b"", b"\r\n"),
        "half-sent headers": (b"GET", health[:-2], health + b"GET /", b"GET /healthz HTTP/1.1\r\n" + known + b"X: "),
        "half-sent body": (
            LAUNCH + trusted + b"Content-Length: 99\r\n\r\n{",
            chunked + b"5\r\n{",
            ARCHIVE + trusted + MULTIPART,
        ),
        "body without a token": (
            ARCHIVE + known + MULTIPART + b"a" * 10**6,
            LAUNCH + known + b"Content-Length: 99\r\n\r\n{",
            LAUNCH + known + b"Authorization: Bearer no\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        ),
        "framing": (
            LAUNCH + trusted + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
            LAUNCH + trusted + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
            LAUNCH + trusted + b"Content-Length: +2\r\n\r\n{}",
            LAUNCH + trusted + b"Content-Length: 99999999999999999999\r\n\r\n{}",
            LAUNCH + trusted + b"Transfer-Encoding: gzip\r\n\r\n{}",
            b"\x16\x03\x01\x00\xa5\x01\x00\x00",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\n" + known + b"X: " + b"a" * 200_000,
            b"GET /healthz HTTP/1.1\r\n" + known + b"X: a\r\n" * 500 + b"\r\n",
        ),
        "chunked lies": (
            chunked + b"zz\r\n{}\r\n0\r\n\r\n",
            chunked + b"-1\r\n{}\r\n0\r\n\r\n",
            chunked + b"ffffffffffffffff\r\n{}",
            chunked + b"2\r\n{}{}{}\r\n0\r\n\r\n",
            chunked + b"2;" + b"a" * 200_000,
            chunked + b"2\r\n{}\r\n0\r\nX: " + b"a" * 200_000,
        ),
        "pipelining": (health * 10, health * 3000, (LAUNCH + known + b"Content-Length: 2\r\n\r\n{}") * 200),
        "wrong host": tuple(b"GET /api/v1/runs HTTP/1.1\r\nHost: " + name + b"\r\n\r\n" for name in WRONG_HOSTS),
    }  # fmt: skip


async def attack(port: int, token: str, number: int, server: psutil.Process, seed: int) -> Attack:
    """Open this many connections, 700 at once, and ask /healthz all the while."""
    outcome, chance = Attack(), random.Random(seed)
    kinds = connections(b"127.0.0.1", token.encode())
    drawn = [(kind := chance.choice(list(kinds)), chance.choice(kinds[kind])) for _ in range(number)]
    outcome.descriptors = [server.num_fds()] * 2
    headers = {"Authorization": f"Bearer {token}"}
    # An idle connection may be closed at any time: each question gets a new one
    limits, root = httpx.Limits(max_keepalive_connections=0), f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=root, headers=headers, timeout=60, limits=limits) as http:
        before = await _refused(http)
        places = asyncio.Semaphore(AT_ONCE)
        attackers = asyncio.gather(*(_connect(port, kind, sent, places, outcome) for kind, sent in drawn))
        while not attackers.done():
            outcome.descriptors[1] = max(outcome.descriptors[1], server.num_fds())
            outcome.megabytes.append(server.memory_info().rss / 1e6)
            try:
                if (await http.get("/healthz")).status_code != 200:
                    outcome.faults["/healthz was refused"] += 1
            except httpx.HTTPError as error:
                outcome.faults[f"/healthz: {type(error).__name__}"] += 1
            await asyncio.sleep(0.2)
        await attackers
        outcome.refused_counted = await _refused(http) - before
    await asyncio.sleep(2)
    outcome.descriptors.append(server.num_fds())
    if outcome.refused_counted < outcome.refused_clients:
        outcome.faults["a refusal was not counted"] += 1
    return outcome


async def _connect(port: int, kind: str, sent: bytes, places: asyncio.Semaphore, outcome: Attack) -> None:
    async with places:
        outcome.kinds[kind] += 1
        answer, writer = b"", None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            async with asyncio.timeout(CLOSED_WITHIN):
                while part := await reader.read(2**16):
                    answer = (answer + part)[-(2**20) :]
        except ConnectionError:
            pass
        except TimeoutError:
            outcome.faults[f"{kind}: not closed after {CLOSED_WITHIN:.0f} s: {sent[:60]!r}"] += 1
        finally:
            if writer is not None:
                writer.close()
        statuses = re.findall(rb"HTTP/1.1 (\d{3}) ", answer)
        outcome.answers[statuses[-1].decode() if statuses else "reset"] += 1
        outcome.refused_clients += bool(statuses) and statuses[-1] in (b"400", b"401", b"408", b"413", b"431", b"503")
        if kind == "wrong host" and set(statuses) - {b"400", b"503"}:
            outcome.faults[f"served to a wrong host: {sent!r}"] += 1
        if any(status.startswith(b"5") and status != b"503" for status in statuses):
            outcome.faults[f"{kind}: 5xx to {sent[:100]!r}"] += 1


async def _refused(http: httpx.AsyncClient) -> float:
    """Return the number of connections and requests that the server counts as refused."""
    text = (await http.get("/metrics")).raise_for_status().text
    counted = re.findall(r"^densitylab_refused_connections_total\{.*\} (\S+)$", text, re.MULTILINE)
    counted += re.findall(r'^densitylab_request_seconds_count\{.*status="[45]..".*\} (\S+)$', text, re.MULTILINE)
    return sum(map(float, counted))


def wrong_hosts(port: int, path: str) -> list[bytes]:
    """Return the wrong names in a Host header that a server answers with something else than a refusal."""

    async def first_line(host: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (path.encode(), host))
        line = await reader.readline()
        writer.close()
        return line

    async def served() -> list[bytes]:
        return [host for host in WRONG_HOSTS if not re.match(rb"HTTP/1.1 4\d\d ", await first_line(host))]

    return asyncio.run(served())
