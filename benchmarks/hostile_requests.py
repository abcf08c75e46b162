"""Hostile requests: schemathesis draws them from the OpenAPI document, then parts are replaced."""

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import requests
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

CANARY = "dl-canary"  # the name of any file that a path traversal would create
MIB = 2**20

TRAVERSALS = [
    f"../{CANARY}",
    f"../../../../../../tmp/{CANARY}",
    f"..%2f..%2f{CANARY}",
    f"%2e%2e/%2e%2e/{CANARY}",
    f"....//....//{CANARY}",
    f"..\\..\\{CANARY}",
    f"/tmp/{CANARY}",
    f"file:///tmp/{CANARY}",
    f"a/../../{CANARY}",
    "/etc/passwd",
    "../../../../../../../../etc/passwd",
    "/proc/self/environ",
    "//",
    ".",
    "..",
    "~",
    "~root/.ssh",
    f"{CANARY}\0.png",
    "CON",
    f"s3://bucket/{CANARY}",
    f"memory://{CANARY}",
]
STRINGS = [
    "",
    " ",
    "\t",
    "\0",
    "a\0b",
    "%00",
    "%",
    "%zz",
    "\ud800",
    "\udfff\ud800",
    "\u202e",
    "\ufeff",
    "é" * 300,
    "🙈" * 100,
    "a" * 300,
    "a" * 10_000,
    "a" * (MIB + 1),
    "NaN",
    "null",
    "true",
    "-1",
    "1e999",
    "0x10",
    "٣",
    "1_000",
    "'; DROP TABLE runs; --",
    '" OR 1=1 --',
    "%' ESCAPE '",
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}}",
    "{0.__class__}",
    "<script>alert(1)</script>",
    "$(touch /tmp/" + CANARY + ")",
    "`id`",
    "a\r\nX-Injected: 1",
    "%0d%0aX-Injected: 1",
    "__proto__",
    "results.accuracy.accuracy) DESC; --",
    "-results." + "a" * 120,
    "http://127.0.0.1:1/",
    "gopher://x",
    "http://[::1]/",
    "http://169.254.169.254/latest",
    "http://0x7f000001/",
    "http://a@b:99999/",
]
NUMBERS = [
    0,
    -1,
    1,
    2**31 - 1,
    2**31,
    -(2**31) - 1,
    2**53 + 1,
    2**63,
    -(2**63) - 1,
    2**64,
    10**400,
    0.5,
    -0.0,
    1e-320,
    1e308,
    float("nan"),
    float("inf"),
    float("-inf"),
    True,
    False,
]


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


SHAPES = [
    None,
    [],
    {},
    [[]],
    [None],
    {"": ""},
    {"a": {"b": {"c": 1}}},
    _nested(50),
    _nested(400),
    list(range(5000)),
    ["a"] * 300,
    {str(number): number for number in range(300)},
    {"key": "mlp", "params": {"hidden": 10**9}},
    {"key": "../x", "params": {}},
    {"__class__": "os.system"},
]
# Bodies that do not match their content type
BODIES = [
    b"",
    b"null",
    b"[]",
    b"{",
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    "{}".encode("utf-16"),
    b'{"name":"\xff"}',
    b'{"name":"\\ud800"}',
    b'{"a":1,"a":2}',
    b"{}" * 1000,
    b"[" * 100_000,
    b'{"a":' * 70 + b"1" + b"}" * 70,
    b"1" * 5000,
    b'"' + b"a" * (MIB + 1) + b'"',
    b"\x1f\x8b\x08\x00",
    b"\x80\x04\x95",
    b"--x\r\n\r\n--x--",
    b"NaN",
    b'{"sweep":{"seed":[' + b",".join(b"%d" % number for number in range(20_000)) + b"]}}",
]
HEADERS = [
    ("Authorization", ""),
    ("Authorization", "Bearer"),
    ("Authorization", "Bearer no"),
    ("Authorization", "Basic x"),
    ("Authorization", "Bearer dl-1-" + "A" * 43),
    ("Authorization", "Bearer \xe9"),
    ("Host", "evil.example"),
    ("Host", ""),
    ("Host", "127.0.0.1:99999"),
    ("Content-Type", "text/plain"),
    ("Accept", "\xff"),
    ("Content-Type", "application/json; charset=utf-16"),
    ("Content-Type", "multipart/form-data"),
    ("Content-Type", "x" * 2000),
    ("Content-Encoding", "gzip"),
    ("X-Request-ID", "a\tb"),
    ("X-Request-ID", "a" * 5000),
    ("X-Request-ID", "../" + CANARY),
    ("Last-Event-ID", "-1"),
    ("Last-Event-ID", "9" * 50),
    ("Idempotency-Key", "\xff" * 10),
    ("Idempotency-Key", "a" * 201),
    ("Origin", "http://evil.example"),
    ("Sec-Fetch-Site", "cross-site"),
    ("X-Forwarded-For", "1.2.3.4"),
    ("Range", "bytes=0-,-1"),
    ("If-None-Match", "*"),
    ("Cookie", "a=" + "b" * 5000),
    ("Expect", "100-continue"),
    ("X-HTTP-Method-Override", "DELETE"),
]
REFUSED_TOKENS = HEADERS[:6]
# Bytes sent without a client's checks; the server answers invalid HTTP with 400 or closes the connection
RAW = [
    b"GET /api/v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\r\n X-Injected: 1\r\n\r\n",
    b"GET /api/v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\rX-Injected: 1\r\n\r\n",
    b"GET /api/v1/runs\r\nX-Injected: 1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /../../../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET  HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x00\xa5\r\n\r\n",
    b"GET /healthz HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n\r\n",
    b"\r\n\r\n\r\n",
    b"POST /api/v1/experiments HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /api/v1/experiments HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n{}",
    b"POST /api/v1/experiments HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n"
    b"\r\n0\r\n\r\n",
    b"POST /api/v1/experiments HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"ffffffffffffffffff\r\n{}\r\n",
    b"POST /api/v1/experiments HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: a\r\n" * 5000 + b"\r\n",
    b"CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example:80\r\n\r\n",
    b"GET http://evil.example/api/v1/runs HTTP/1.1\r\nHost: evil.example\r\n\r\n",
]


@dataclass
class Request:
    """One request before it is sent. `body` is sent as JSON unless it is bytes."""

    method: str
    template: str  # the path in the OpenAPI document
    path: dict[str, Any] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    has_body: bool = False

    @property
    def label(self) -> str:
        return f"{self.method} {self.template}"

    def target(self) -> bytes:
        """Return path and query as sent, with every reserved character escaped."""
        path = self.template
        for name, value in self.path.items():
            path = path.replace(f"{{{name}}}", _quoted(value))
        query = urlencode(
            [
                (name, _text(item))
                for name, value in self.query.items()
                for item in (value if isinstance(value, list) else [value])
            ],
            errors="surrogatepass",
        )
        return f"{path}?{query}".encode() if query else path.encode()

    def content(self) -> bytes | None:
        if not self.has_body:
            return None
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def drawn(schema: Any, each: int) -> Iterator[list[Request]]:
    """Yield, for every operation, up to this many requests that fit its schema and as many that do not."""
    for result in schema.get_all_operations():
        operation = result.ok()
        requests: list[Request] = []
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                _draw(operation.as_strategy(generation_mode=mode), each, requests)
            except Unsatisfiable:
                continue  # the operation has nothing that could be wrong
        yield requests


def _draw(cases: Any, each: int, requests: list[Request]) -> None:
    @hypothesis_settings(
        max_examples=each,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def keep(case: Any) -> None:
        requests.append(_request(case))

    keep()


def _request(case: Any) -> Request:
    sent = case.as_transport_kwargs(base_url="http://127.0.0.1")
    # The fuzzer adds the right token, or a wrong one
    headers = {str(name): str(value) for name, value in (case.headers or {}).items() if name.lower() != "authorization"}
    has_body = any(sent.get(part) is not None for part in ("data", "json", "files"))
    body = None
    if "json" in sent:
        body = copy.deepcopy(sent["json"])
    elif has_body:
        prepared = requests.Request(
            "POST", "http://127.0.0.1", data=sent.get("data"), files=sent.get("files"), headers=sent.get("headers")
        ).prepare()
        body = prepared.body.encode() if isinstance(prepared.body, str) else bytes(prepared.body or b"")
        headers["Content-Type"] = prepared.headers.get("Content-Type", "application/octet-stream")
    if has_body:
        headers.setdefault("Content-Type", case.media_type or "application/json")
    return Request(
        case.method.upper(),
        case.path,
        dict(case.path_parameters or {}),
        dict(case.query or {}),
        headers,
        body,
        has_body,
    )


def modified_request(request: Request, chance: random.Random) -> Request:
    """Return a copy with one part replaced by something hostile; half of the copies use ids that exist."""
    worse = copy.deepcopy(request)
    if chance.random() < 0.5:
        _aim(worse, chance)
    places = [lambda: _worsen_header(worse, chance)]
    places += [lambda: _replace(worse.path, chance)] * (3 * bool(worse.path))
    places += [lambda: _worsen_query(worse, chance)] * 2
    if worse.has_body:
        places += [lambda: _worsen_body(worse, chance)] * 5
    chance.choice(places)()
    return worse


def aimed(request: Request, chance: random.Random) -> Request:
    """Return a copy with small ids, most of which exist."""
    copied = copy.deepcopy(request)
    _aim(copied, chance)
    return copied


def _aim(request: Request, chance: random.Random) -> None:
    for name in request.path:
        if name.endswith("_id"):
            request.path[name] = chance.randrange(1, 80)
        elif name == "key":
            request.path[name] = chance.choice(["blockmnist", "digits", "mnist"])
    for name in ("run", "runs", "experiment"):
        if name in request.query:
            request.query[name] = [chance.randrange(1, 80)]
    if isinstance(request.body, dict) and isinstance(request.body.get("runs"), list):
        request.body["runs"] = [chance.randrange(1, 80) for _ in request.body["runs"][:6]]


def hostile(chance: random.Random) -> Any:
    return copy.deepcopy(chance.choice(chance.choice((TRAVERSALS, STRINGS, NUMBERS, SHAPES))))


def _replace(values: Any, chance: random.Random) -> None:
    key = chance.choice(list(values) if isinstance(values, dict) else range(len(values)))
    values[key] = hostile(chance)


def _worsen_query(request: Request, chance: random.Random) -> None:
    if request.query and chance.random() < 0.7:
        _replace(request.query, chance)
    else:
        names = ["q", "sort", "cursor", "limit", "run", "names", "format", "archived", "index", "unknown"]
        request.query[chance.choice(names)] = hostile(chance)


def _worsen_header(request: Request, chance: random.Random) -> None:
    name, value = chance.choice(HEADERS)
    request.headers[name] = value


def _worsen_body(request: Request, chance: random.Random) -> None:
    if isinstance(request.body, bytes) or chance.random() < 0.2:
        request.body = chance.choice(BODIES)
        return
    # Descend into the body to a key of any depth
    node, inner = None, request.body
    while isinstance(inner, dict | list) and inner and (node is None or chance.random() < 0.7):
        node = inner
        key = chance.choice(list(node) if isinstance(node, dict) else range(len(node)))
        inner = node[key]
    if node is None:
        request.body = hostile(chance)
    elif isinstance(node, dict) and chance.random() < 0.15:
        node[str(hostile(chance))[:200]] = hostile(chance)
    else:
        node[key] = hostile(chance)


def _quoted(value: Any) -> str:
    # A slash sometimes stays unescaped, since paths are split before they are decoded
    return quote(_text(value), safe="/" if str(value).startswith("..") else "", errors="surrogatepass")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) > 10**300:
        return "9" * 400  # Python refuses to print very long numbers
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, dict | list) else str(value)
