"""One typed set of settings, read from `DENSITYLAB_*`; unsafe combinations are refused at start."""

import hashlib
import ipaddress
import os
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import fsspec
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# A Unix socket's path may have 107 bytes; beyond that the embedded broker's socket moves to the temp folder.
_SOCKET_PATH_LIMIT = 100


class Settings(BaseSettings):
    """Where everything lives. Unset, all is embedded below `home`: Valkey, SQLite, local folders.

    Raises:
        pydantic.ValidationError: a value is malformed, or a combination is unsafe (a host that is not loopback
            without a token; SQLite or local artifacts together with a broker on another machine).
    """

    # An empty variable counts as unset: otherwise an empty token would pass for a token
    model_config = SettingsConfigDict(env_prefix="DENSITYLAB_", env_ignore_empty=True, extra="ignore")

    home: Path = Field(default=Path(".densitylab"), description="state folder: database, broker, artifacts, data")
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=1, le=65535)
    api_processes: int = Field(default=1, ge=1, le=64, description="processes that serve the API at its port (Linux)")
    ui_host: str = "127.0.0.1"
    ui_port: int = Field(default=8501, ge=1, le=65535)
    api_url: str = Field(default="", description="where the page finds the API; empty: api_host and api_port")
    redis_url: str = Field(default="", description="empty: an embedded Valkey on a Unix socket")
    database_url: str = Field(default="", description="empty: SQLite in the state folder")
    artifacts_url: str = Field(default="", description="a folder or any fsspec URL; empty: in the state folder")
    data_dir: Path = Field(default=Path(), description="prepared data sets; empty: in the state folder")
    api_token: SecretStr | None = Field(default=None, description="bearer token; required off loopback")
    allowed_hosts: str = Field(
        default="", description="names by which callers may reach the API, beside api_host and api_url; with commas"
    )
    rate_limit: float = Field(default=400.0, ge=0, description="requests a second of each address; 0: no limit")
    webhook_private: bool = Field(default=False, description="webhooks may go to private addresses")
    log_format: Literal["text", "json"] = "text"
    workers: int = Field(default=0, ge=0, le=64, description="training workers; 0: one per GPU, or one on the CPU")
    threads: int = Field(default=0, ge=0, le=1024, description="CPU threads of a training worker; 0: all cores shared")

    @field_validator("home", mode="after")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("database_url", mode="after")
    @classmethod
    def _driver(cls, url: str) -> str:
        """As administrators write it: without the name of the driver."""
        kind, separator, rest = url.partition("://")
        return f"postgresql+psycopg://{rest}" if separator and kind in ("postgres", "postgresql") else url

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
                f"DENSITYLAB_ARTIFACTS_URL begins with {kind}://, and nothing here reaches such a store: {hint}"
            ) from error

    @property
    def trusted_hosts(self) -> list[str]:
        """What the Host header of a request may say. A page elsewhere that had its own name point at this machine
        could otherwise act on an API that asks no token."""
        named = [host.strip() for host in self.allowed_hosts.split(",") if host.strip()]
        api_url = urlsplit(self.api_url).hostname or ""
        own = [self.api_host, f"[{api_url}]" if ":" in api_url else api_url]
        return [*dict.fromkeys(["localhost", "127.0.0.1", "[::1]", *own, *named])]

    @property
    def _broker_is_local(self) -> bool:
        parts = urlsplit(self.redis_url)
        return parts.scheme == "unix" or _is_loopback(parts.hostname or "localhost")

    @property
    def embedded_broker(self) -> bool:
        """Whether `make up` starts the broker itself."""
        return self.redis_url == f"unix://{self.broker_socket}"

    @cached_property
    def broker_socket(self) -> Path:
        """The embedded broker's Unix socket; always the same for the same state folder."""
        path = self.home / "broker" / "valkey.sock"
        if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT:
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
    """One line that names every refused setting; without the other values, among which may be secrets."""
    refusals = []
    for problem in error.errors(include_url=False):
        message = problem["msg"].removeprefix("Value error, ")
        if problem["loc"]:
            name = f"DENSITYLAB_{str(problem['loc'][0]).upper()}"
            message = f"{name} is {problem['input']!r}: {message[0].lower()}{message[1:]}"
        refusals.append(message)
    return "; ".join(refusals)
