"""Every invalid combination of settings, and the embedded defaults."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings, explain


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"DENSITYLAB_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def test_unset_is_all_embedded(tmp_path: Path):
    settings = Settings()
    home = tmp_path / ".densitylab"
    assert settings.home == home
    assert settings.embedded_broker and settings.redis_url.startswith("unix://")
    assert settings.database_url == f"sqlite:///{home / 'densitylab.sqlite'}"
    assert settings.artifacts_url == str(home / "artifacts")
    assert settings.data_dir == home / "data"
    assert settings.api_url == "http://127.0.0.1:8000"
    assert settings.api_token is None


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"API_PORT": "0"}, "DENSITYLAB_API_PORT"),
        ({"API_PORT": "65536"}, "DENSITYLAB_API_PORT"),
        ({"UI_PORT": "http"}, "DENSITYLAB_UI_PORT"),
        ({"WORKERS": "-1"}, "DENSITYLAB_WORKERS"),
        ({"WORKERS": "65"}, "DENSITYLAB_WORKERS"),
        ({"THREADS": "many"}, "DENSITYLAB_THREADS"),
        ({"API_HOST": "0.0.0.0"}, "DENSITYLAB_API_TOKEN"),
        ({"API_HOST": "0.0.0.0", "API_TOKEN": ""}, "DENSITYLAB_API_TOKEN"),
        ({"UI_HOST": "::"}, "DENSITYLAB_API_TOKEN"),
        ({"UI_HOST": "lab.example.org"}, "DENSITYLAB_API_TOKEN"),
        ({"PUBLIC_URL": "https://lab.example.org"}, "DENSITYLAB_API_TOKEN"),
        ({"PUBLIC_URL": "lab.example.org"}, "DENSITYLAB_PUBLIC_URL"),
        ({"PUBLIC_URL": "ftp://localhost"}, "DENSITYLAB_PUBLIC_URL"),
        ({"PUBLIC_URL": "http://user@localhost"}, "DENSITYLAB_PUBLIC_URL"),
        ({"PUBLIC_URL": "http://localhost/lab?run=1"}, "DENSITYLAB_PUBLIC_URL"),
        ({"PUBLIC_URL": "http://localhost//lab"}, "DENSITYLAB_PUBLIC_URL"),
        ({"PUBLIC_URL": "http://localhost/../lab"}, "DENSITYLAB_PUBLIC_URL"),
        ({"PUBLIC_URL": "http://localhost/a b"}, "DENSITYLAB_PUBLIC_URL"),
        ({"PUBLIC_URL": "http://localhost\r\n/lab"}, "DENSITYLAB_PUBLIC_URL"),
        ({"PUBLIC_URL": "http://localhost:99999"}, "DENSITYLAB_PUBLIC_URL"),
        ({"PUBLIC_URL": "http://[:::]/lab"}, "DENSITYLAB_PUBLIC_URL"),
        ({"PUBLIC_URL": "http://localhost/api"}, "DENSITYLAB_PUBLIC_URL"),
        ({"PUBLIC_URL": "http://localhost/docs/lab"}, "DENSITYLAB_PUBLIC_URL"),
        ({"PUBLIC_URL": "http://localhost/oauth2callback"}, "DENSITYLAB_PUBLIC_URL"),
        ({"LOGIN_FILE": "login.toml"}, "DENSITYLAB_API_TOKEN"),
        ({"LOGIN_FILE": "login.toml", "API_TOKEN": "t", "UI_HOST": "0.0.0.0"}, "DENSITYLAB_PUBLIC_URL"),
        ({"REDIS_URL": "redis://10.0.0.5:6379/0"}, "DENSITYLAB_DATABASE_URL"),
        (
            {"REDIS_URL": "redis://broker:6379/0", "DATABASE_URL": "postgresql+psycopg://db/lab"},
            "DENSITYLAB_ARTIFACTS_URL",
        ),
        (
            {
                "REDIS_URL": "redis://broker:6379/0",
                "DATABASE_URL": "postgresql+psycopg://db/lab",
                "ARTIFACTS_URL": "file:///srv/artifacts",
            },
            "DENSITYLAB_ARTIFACTS_URL",
        ),
    ],
)
def test_refused(environment: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch):
    for name, value in environment.items():
        monkeypatch.setenv(f"DENSITYLAB_{name}", value)
    with pytest.raises(ValidationError) as refusal:
        Settings()
    line = explain(refusal.value)
    assert named in line
    assert "\n" not in line


def test_a_refusal_does_not_tell_the_token(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DENSITYLAB_API_TOKEN", "sesame-sesame")
    monkeypatch.setenv("DENSITYLAB_REDIS_URL", "redis://:hush-hush@10.0.0.5:6379/0")
    with pytest.raises(ValidationError) as refusal:
        Settings()
    assert "sesame" not in explain(refusal.value)
    assert "hush" not in explain(refusal.value)


@pytest.mark.parametrize(
    "environment",
    [
        {"API_HOST": "0.0.0.0", "UI_HOST": "0.0.0.0", "API_TOKEN": "secret"},
        {"API_HOST": "127.0.0.2", "UI_HOST": "::1"},
        {"REDIS_URL": "redis://localhost:6379/0"},
        {
            "REDIS_URL": "redis://broker:6379/0",
            "DATABASE_URL": "postgresql+psycopg://db/lab",
            "ARTIFACTS_URL": "s3://bucket/lab",
        },
    ],
)
def test_accepted(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    for name, value in environment.items():
        monkeypatch.setenv(f"DENSITYLAB_{name}", value)
    Settings()


@pytest.mark.parametrize(
    ("url", "host", "prefix"),
    [
        ("https://lab.example.org", "lab.example.org", ""),
        ("https://lab.example.org/", "lab.example.org", ""),
        ("https://LAB.example.org:8443/users/ada-1/lab/", "lab.example.org", "/users/ada-1/lab"),
        ("http://[::1]:8080/lab", "[::1]", "/lab"),
    ],
)
def test_host_and_prefix_of_the_public_address(url: str, host: str, prefix: str):
    settings = Settings(public_url=url, api_token="secret")
    assert host in settings.trusted_hosts
    assert (settings.public_url, settings.path_prefix) == (url.rstrip("/"), prefix)


def test_the_page_finds_an_api_that_listens_everywhere(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DENSITYLAB_API_HOST", "0.0.0.0")
    monkeypatch.setenv("DENSITYLAB_API_TOKEN", "secret")
    assert Settings().api_url == "http://127.0.0.1:8000"


def test_a_deep_state_folder_keeps_the_socket_path_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("DENSITYLAB_HOME", str(tmp_path / ("deep" * 40)))
    first, second = Settings(), Settings()
    assert len(str(first.broker_socket)) < 108
    assert first.broker_socket == second.broker_socket
    assert first.embedded_broker


@pytest.mark.parametrize("name", ["a b", "a=b", "a#b", "a?b", "a%20b", "ü", "it's", "x" * 160])
def test_any_state_folder_has_its_own_database_and_a_socket_that_the_broker_takes(tmp_path: Path, name: str):
    home = tmp_path / name
    home.mkdir()
    settings = Settings(home=home)
    assert re.fullmatch(r"[A-Za-z0-9/._-]+", str(settings.broker_socket)) and len(str(settings.broker_socket)) < 108
    assert settings.broker_socket == Settings(home=home).broker_socket != Settings(home=tmp_path).broker_socket
    database = Database(settings.database_url)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE here (a)")
    database.close()
    assert (home / "densitylab.sqlite").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "proxies", ["*", "localhost", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.1 10.0.0.2", "1.2.3", "::g"]
)
def test_proxies_are_named_by_address(monkeypatch: pytest.MonkeyPatch, proxies: str):
    monkeypatch.setenv("DENSITYLAB_TRUSTED_PROXIES", f"10.0.0.5, {proxies}")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "DENSITYLAB_TRUSTED_PROXIES" in explain(refused.value) and repr(proxies) in explain(refused.value)
    monkeypatch.setenv("DENSITYLAB_TRUSTED_PROXIES", " 10.0.0.5, 172.16.0.0/12,::1, ")
    assert Settings().trusted_proxies == "10.0.0.5,172.16.0.0/12,::1"
