"""Typed settings from `DENSITYLAB_*`; unsafe combinations are refused at start."""

import hashlib
import ipaddress
import os
import re
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import fsspec
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# A Unix socket's path has at most 107 bytes, on macOS 103; the embedded broker's is in the temp folder if it is longer
_SOCKET_PATH_LIMIT = 100
_PUBLIC_URL = re.compile(
    r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?(?P<path>(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*)"
)
# A proxy may remove the prefix from a path: no path of API or page may look as if it had one
_OWN_PATHS = (
    "_stcore",
    "api",
    "auth",
    "component",
    "docs",
    "healthz",
    "media",
    "metrics",
    "oauth2callback",
    "openapi.json",
    "problems",
    "readyz",
    "static",
)
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")


class Settings(BaseSettings):
    """Addresses, paths and limits. By default everything is embedded below `home`: Valkey, SQLite, local folders.

    Raises:
        pydantic.ValidationError: a value is malformed, or a combination is unsafe (a host that is not loopback
            without a token; SQLite or local artifacts together with a broker on another machine).
    """

    # An empty variable counts as unset: an empty string is not a token
    model_config = SettingsConfigDict(env_prefix="DENSITYLAB_", env_ignore_empty=True, extra="ignore")

    home: Path = Field(default=Path(".densitylab"), description="state folder: database, broker, artifacts, data")
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=1, le=65535)
    api_processes: int = Field(default=1, ge=1, le=64, description="processes that serve the API at its port (Linux)")
    ui_host: str = "127.0.0.1"
    ui_port: int = Field(default=8501, ge=1, le=65535)
    api_url: str = Field(default="", description="the API's address for the page; empty: api_host and api_port")
    public_url: str = Field(
        default="",
        description="address of page and API for browsers, behind a reverse proxy, such as https://example.org/lab",
    )
    login_file: Path | None = Field(
        default=None, description="TOML file with the identity provider and the users of the page; none: no login"
    )
    redis_url: str = Field(default="", description="empty: an embedded Valkey on a Unix socket")
    database_url: str = Field(default="", description="empty: SQLite in the state folder")
    artifacts_url: str = Field(default="", description="a folder or any fsspec URL; empty: in the state folder")
    data_dir: Path = Field(default=Path(), description="prepared data sets; empty: in the state folder")
    api_token: SecretStr | None = Field(default=None, description="bearer token; required off loopback")
    allowed_hosts: str = Field(
        default="",
        description="further host names of API and page, separated by commas; *.example.org: every name below it",
    )
    cors_origins: str = Field(
        default="",
        description="origins, separated by commas, whose pages may use the API, such as https://dashboard.example.org",
    )
    shared_runs: bool = Field(
        default=True,
        description="any full token may change every run, experiment, data set and webhook; no: only its own",
    )
    audit_days: int = Field(
        default=365, ge=1, le=36500, description="days for which audit lines and revoked tokens are kept"
    )
    event_days: int = Field(default=30, ge=1, le=36500, description="days for which events and deliveries are kept")
    task_days: int = Field(
        default=7, ge=1, le=36500, description="days for which ended preparations and registrations are kept"
    )
    log_days: int = Field(
        default=0, ge=0, le=36500, description="days for which lines of runs' logs are kept; 0: as long as the run"
    )
    map_cache_mib: int = Field(
        default=2048, ge=1, le=1_000_000_000, description="size of the stored maps, beyond which the least used go"
    )
    log_silence_hours: float = Field(
        default=24.0,
        gt=0,
        le=8760,
        description="hours without a word from a training loop elsewhere, after which its logged run fails",
    )
    model_mib: int = Field(
        default=2048, ge=1, le=1_000_000, description="largest file of a model that can be imported, in MiB"
    )
    rate_limit: float = Field(default=400.0, ge=0, description="requests per second and client address; 0: no limit")
    max_connections: int = Field(
        default=500, ge=10, le=100_000, description="connections that are open at once in each API process"
    )
    trusted_proxies: str = Field(
        default="",
        description="addresses or networks, separated by commas, whose X-Forwarded-For and -Proto headers are believed",
    )
    webhook_private: bool = Field(default=False, description="allow webhooks to private addresses")
    log_format: Literal["text", "json"] = "text"
    workers: int = Field(default=0, ge=0, le=64, description="training workers; 0: one per GPU, or one per core")
    threads: int = Field(
        default=0, ge=0, le=1024, description="CPU threads of runs whose spec has none; 0: by the size of the network"
    )
    stack_runs: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="train runs that differ in λ, seed, learning rate or weight decay alone as one; auto: on a GPU, "
        "where a measurement shows that it pays",
    )

    @field_validator("home", mode="after")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("database_url", mode="after")
    @classmethod
    def _driver(cls, url: str) -> str:
        """Add the driver's name to a PostgreSQL URL."""
        kind, separator, rest = url.partition("://")
        return f"postgresql+psycopg://{rest}" if separator and kind in ("postgres", "postgresql") else url

    @field_validator("public_url", mode="after")
    @classmethod
    def _address(cls, url: str) -> str:
        """Check the address; remove the slash at its end."""
        url = url.rstrip("/")
        if not url:
            return url
        parsed = _PUBLIC_URL.fullmatch(url)
        if parsed is None:
            raise ValueError("expected an address such as https://example.org or https://example.org/lab")
        first = f"{parsed['path']}/".split("/")[1]
        if first in _OWN_PATHS:
            raise ValueError(f"its path begins with /{first}, which API and page use themselves: use another")
        if not 0 < (urlsplit(url).port or 80) < 65536:
            raise ValueError("expected a port from 1 to 65535")
        return url

    @field_validator("trusted_proxies", mode="after")
    @classmethod
    def _networks(cls, proxies: str) -> str:
        names = [name.strip() for name in proxies.split(",") if name.strip()]
        for name in names:
            try:
                ipaddress.ip_network(name)
            except ValueError:
                raise ValueError(
                    f"expected addresses or networks such as 10.0.0.5 or 172.16.0.0/12, separated by commas; {name!r} "
                    "is none"
                ) from None
        return ",".join(names)

    @field_validator("cors_origins", mode="after")
    @classmethod
    def _origins(cls, origins: str) -> str:
        names = [name.strip().rstrip("/").lower() for name in origins.split(",") if name.strip()]
        if "*" in names:
            raise ValueError(
                "expected named origins: with * every page that somebody opens could use the API, without a token to "
                "read everything, or with one that it has got"
            )
        for name in names:
            parsed = _PUBLIC_URL.fullmatch(name)
            if parsed is None or parsed["path"]:
                raise ValueError(
                    f"expected origins such as https://example.org:8443, separated by commas; {name!r} is none"
                )
        return ",".join(names)

    @model_validator(mode="after")
    def _fill_and_check(self) -> "Settings":
        if self.data_dir == Path():
            self.data_dir = self.home / "data"
        self.data_dir = self.data_dir.expanduser().absolute()
        if not self.database_url:
            self.database_url = f"sqlite:///{self.home / 'densitylab.sqlite'}"
        if not self.artifacts_url:
            self.artifacts_url = str(self.home / "artifacts")
        if not self.redis_url:
            self.redis_url = f"unix://{self.broker_socket}"
        if not self.api_url:
            host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.api_host, self.api_host)
            self.api_url = f"http://{host}:{self.api_port}"
        self._refuse_unsafe()
        self._refuse_unknown_store()
        return self

    def _refuse_unsafe(self) -> None:
        for name in ("api_host", "ui_host"):
            if not _is_loopback(getattr(self, name)) and self.api_token is None:
                raise ValueError(
                    f"DENSITYLAB_{name.upper()} is {getattr(self, name)!r}, which other machines can reach: "
                    "set DENSITYLAB_API_TOKEN, or use 127.0.0.1"
                )
        if self.public_url and self.api_token is None and not _is_loopback(urlsplit(self.public_url).hostname or ""):
            raise ValueError(
                f"DENSITYLAB_PUBLIC_URL is {self.public_url!r}, which other machines can reach: "
                "set DENSITYLAB_API_TOKEN"
            )
        if self.login_file is not None:
            if self.api_token is None:
                raise ValueError(
                    "DENSITYLAB_LOGIN_FILE is set, but the API asks for no token, and so cannot tell users apart: "
                    "set DENSITYLAB_API_TOKEN"
                )
            if not self.public_url and not _is_loopback(self.ui_host):
                raise ValueError(
                    "DENSITYLAB_LOGIN_FILE is set: set DENSITYLAB_PUBLIC_URL to the page's address, to which the "
                    "identity provider sends browsers back"
                )
        if not self._broker_is_local:
            if self.database_url.startswith("sqlite"):
                raise ValueError(
                    "DENSITYLAB_REDIS_URL points to another machine while the database is a SQLite file on this "
                    "one: workers elsewhere could not reach it; set DENSITYLAB_DATABASE_URL to PostgreSQL"
                )
            if "://" not in self.artifacts_url or self.artifacts_url.startswith("file:"):
                raise ValueError(
                    "DENSITYLAB_REDIS_URL points to another machine while artifacts go to a folder on this one: "
                    "set DENSITYLAB_ARTIFACTS_URL to a store that every worker reaches, such as s3://bucket/prefix"
                )

    def _refuse_unknown_store(self) -> None:
        kind, separator, _ = self.artifacts_url.partition("://")
        if not separator:
            return
        try:
            fsspec.get_filesystem_class(kind)
        except (ImportError, ValueError) as error:
            hint = 'pip install "densitylab[s3]"' if kind == "s3" else "install the package that fsspec names for it"
            raise ValueError(
                f"DENSITYLAB_ARTIFACTS_URL begins with {kind}://, which no installed package can access: {hint}"
            ) from error

    @property
    def trusted_hosts(self) -> list[str]:
        """Return the valid names in a request's Host header; others are refused against DNS rebinding."""
        named = [host.strip() for host in self.allowed_hosts.split(",") if host.strip()]
        in_urls = [urlsplit(url).hostname or "" for url in (self.api_url, self.public_url)]
        own = [f"[{host}]" if ":" in host else host for host in (self.api_host, self.ui_host, *in_urls) if host]
        return [*dict.fromkeys(["localhost", "127.0.0.1", "[::1]", *own, *named])]

    @property
    def cors(self) -> list[str]:
        """Return the origins whose pages may use the API."""
        return self.cors_origins.split(",") if self.cors_origins else []

    def alive_file(self, process: str) -> Path:
        """Return the file that a process with this name touches while it works, in the state folder, which is made.

        Health checks of containers look at the file's age: 2 ms, where asking the process took a second of imports.
        """
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.home / f"{process}.alive"

    @property
    def page_url(self) -> str:
        """Return the page's address for browsers, without a slash at its end."""
        host = f"[{self.ui_host}]" if ":" in self.ui_host else self.ui_host
        return self.public_url or f"http://{host}:{self.ui_port}"

    @property
    def path_prefix(self) -> str:
        """Return the path of the public address: "" or "/lab"."""
        return urlsplit(self.public_url).path

    @property
    def _broker_is_local(self) -> bool:
        parts = urlsplit(self.redis_url)
        return parts.scheme == "unix" or _is_loopback(parts.hostname or "localhost")

    @property
    def embedded_broker(self) -> bool:
        """Return whether `densitylab up` starts the broker itself."""
        return self.redis_url == f"unix://{self.broker_socket}"

    @cached_property
    def broker_socket(self) -> Path:
        """Return the embedded broker's Unix socket, which depends on the state folder only.

        It is in the temporary folder if the state folder's path is too long for a socket, or has a character that the
        broker's client does not take: it reads the path in a URL, and in a list with spaces and equals signs.
        """
        path = self.home / "broker" / "valkey.sock"
        if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT and _PLAIN_PATH.fullmatch(str(path)):
            return path
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"densitylab-{os.getuid()}-{digest}" / "valkey.sock"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def explain(error: ValidationError) -> str:
    """Return one line that names every invalid setting, without the values of the others: these may be secrets."""
    refusals = []
    for problem in error.errors(include_url=False):
        message = problem["msg"].removeprefix("Value error, ")
        if problem["loc"]:
            name = f"DENSITYLAB_{str(problem['loc'][0]).upper()}"
            message = f"{name} is {problem['input']!r}: {message[0].lower()}{message[1:]}"
        refusals.append(message)
    return "; ".join(refusals)
