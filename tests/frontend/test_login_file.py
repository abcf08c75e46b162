"""The login file: what is refused at start, by which name, and who is a user."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from densitylab.frontend.login_file import LoginFile, LoginFileError, LoginRefused, User, login_file

AUTH = """
[auth]
server_metadata_url = "https://id.example.org/.well-known/openid-configuration"
client_id = "densitylab"
client_secret = "s3cret-of-the-client"
cookie_secret = "k3y-of-the-cookies-with-32-characters"
"""
USERS = """
[users]
"Ada@Example.org" = "dl-1-of-ada"
"kimk@example.org" = "dl-3-of-kim"
"bob@example.org" = {env = "TOKEN_OF_BOB"}
"""
SECRETS = ("s3cret-of-the-client", "k3y-of-the-cookies", "dl-1-of-ada", "dl-2-of-bob")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TOKEN_OF_BOB", "dl-2-of-bob")
    login_file.cache_clear()
    yield
    login_file.cache_clear()


def read(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> LoginFile:
    path = folder / "login.toml"
    path.write_text(text)
    monkeypatch.setenv("DENSITYLAB_LOGIN_FILE", str(path))
    file = login_file()
    assert file is not None
    return file


@pytest.mark.parametrize("value", [None, ""])
def test_without_the_setting_there_is_none(monkeypatch: pytest.MonkeyPatch, value: str | None):
    if value is None:
        monkeypatch.delenv("DENSITYLAB_LOGIN_FILE", raising=False)
    else:
        monkeypatch.setenv("DENSITYLAB_LOGIN_FILE", value)
    assert login_file() is None


def test_users_have_the_token_by_value_or_by_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = read(tmp_path, AUTH + USERS, monkeypatch)
    ada = file.user({"email": "ADA@example.org", "email_verified": True, "name": "Ada"})
    assert ada == User("ada@example.org", "Ada", "dl-1-of-ada")
    bob = file.user({"email": "bob@example.org", "email_verified": "true"})
    assert bob == User("bob@example.org", "bob@example.org", "dl-2-of-bob")
    assert not any(secret in f"{file!r} {file} {ada!r}" for secret in SECRETS)
    secrets = file.streamlit_secrets("https://lab.example.org/lab")["auth"]
    assert secrets["redirect_uri"] == "https://lab.example.org/lab/oauth2callback"
    assert secrets["client_secret"] == "s3cret-of-the-client"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({}, "no e-mail address"),
        ({"email": "", "email_verified": True}, "no e-mail address"),
        ({"email": ["ada@example.org"], "email_verified": True}, "no e-mail address"),
        ({"email": "ada@example.org"}, "not verified"),
        ({"email": "ada@example.org", "email_verified": False}, "not verified"),
        ({"email": "ada@example.org", "email_verified": "false"}, "not verified"),
        ({"email": "eve@example.org", "email_verified": True}, "no access"),
        ({"email": "ada@example.org.evil.org", "email_verified": True}, "no access"),
        ({"email": "kim\u212a@example.org", "email_verified": True}, "no access"),
    ],
)
def test_others_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, claims: dict[str, Any], why: str):
    with pytest.raises(LoginRefused, match=why):
        read(tmp_path, AUTH + USERS, monkeypatch).user(claims)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (AUTH, "users: field required"),
        (USERS, "auth: field required"),
        (AUTH + "[users]\n", "users: "),
        (AUTH + USERS + '[other]\nx = "1"\n', "other: "),
        (AUTH.replace("client_id", "client"), "auth.client_id: field required; auth.client: "),
        (AUTH.replace("https://id", "http://id") + USERS, "auth.server_metadata_url: expected"),
        (AUTH.replace('"densitylab"', '""') + USERS, "auth.client_id: "),
        (AUTH.replace('"densitylab"', "7") + USERS, "auth.client_id: "),
        (AUTH.replace("-with-32-characters", "") + USERS, "auth.cookie_secret: value should have at least 32"),
        (AUTH.replace('"s3cret-of-the-client"', '{env = "NO_SUCH"}') + USERS, "the environment variable NO_SUCH"),
        (AUTH + USERS.replace("TOKEN_OF_BOB", "NO_SUCH"), "users.bob@example.org: the environment variable NO_SUCH"),
        (AUTH + USERS.replace('{env = "TOKEN_OF_BOB"}', "{file = 'x'}"), "users.bob@example.org: expected a text, or"),
        (AUTH + USERS.replace("dl-1-of-ada", ""), "users.Ada@Example.org: the value is empty"),
        (AUTH + USERS.replace("dl-1-of-ada", "dl-1 of ada"), "users.Ada@Example.org: the value has a space"),
        (
            AUTH + USERS.replace("dl-1-of-ada", "dl-2-of-bob"),
            "users: ada@example.org and bob@example.org have the same",
        ),
        (AUTH + USERS + '"ada@example.org" = "dl-3"\n', "users: ada@example.org is named twice"),
        (AUTH + USERS.replace("bob@example.org", "bob"), "users: the name of entry 3 is not an e-mail address"),
        (AUTH + USERS.replace("bob@example.org", "s3cret-of-the-client"), "users: the name of entry 3"),
        (AUTH + '[users]\ns3cret-of-the-client = "Ada Lovelace"\n', "users: the value has a space"),
        (AUTH + "[users", "is not a TOML file"),
    ],
)
def test_a_wrong_field_is_named_without_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, named: str
):
    with pytest.raises(LoginFileError) as refusal:
        read(tmp_path, text, monkeypatch)
    line = str(refusal.value)
    assert line.startswith(f"DENSITYLAB_LOGIN_FILE: {tmp_path / 'login.toml'}") and named in line
    assert "\n" not in line and not any(secret in line for secret in SECRETS)


def test_the_page_does_not_start_with_a_wrong_file(tmp_path: Path):
    (tmp_path / "login.toml").write_text(AUTH)
    for name, line in (
        ("login.toml", "login.toml: users: field required"),
        ("missing.toml", "missing.toml cannot be read: No such file or directory"),
        ("~nobody-here/a.toml", "~nobody-here/a.toml cannot be read: No such file or directory"),
    ):
        environment = {
            **os.environ,
            "DENSITYLAB_HOME": str(tmp_path),
            "DENSITYLAB_API_TOKEN": "t0ken",
            "DENSITYLAB_LOGIN_FILE": name,
        }
        argv = [sys.executable, "-P", "-m", "densitylab.frontend.page_server"]
        ended = subprocess.run(argv, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 1 and ended.stderr == f"DENSITYLAB_LOGIN_FILE: {line}\n"


def test_without_the_setting_no_login_package_is_loaded():
    code = "import sys, densitylab.frontend.page_server, densitylab.frontend.ui.api; print('authlib' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if name != "DENSITYLAB_LOGIN_FILE"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert ended.stdout == "False\n"
