"""Every refusal of the settings, and that what is not set is embedded."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from backend.shared.settings import Settings, explain


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
