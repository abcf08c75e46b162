"""Single sign-on of the page in a real browser, with a provider that a test serves: who sees what, and acts as whom."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from densitylab.backend.ops import migrate
from densitylab.backend.shared.database import Database
from densitylab.backend.shared.settings import Settings
from densitylab.backend.shared.store import tokens
from densitylab.frontend.client import ApiClient
from tests.end_to_end.expanders import open_expander
from tests.end_to_end.systems import started
from tests.oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider, providing
from tests.servers import free_port, until

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]
PATIENCE = 60_000  # milliseconds
expect.set_options(timeout=PATIENCE)
ADMINISTRATOR, COOKIE_SECRET = "t0ken-of-the-administrator", "k3y-of-the-cookies-with-32-characters"
SPEC = {"epochs": 1, "train_samples": 200, "model": {"key": "mlp", "params": {"hidden": 16}}, "device": "cpu"}
ADA = {"email": "Ada@Example.org", "email_verified": True, "name": "Ada [Lovelace]"}
BOB = {"email": "bob@example.org", "email_verified": True, "name": "Bob"}


@dataclass(frozen=True)
class Lab:
    page: str
    api: str
    client: ApiClient  # the administrator's
    provider: Provider
    users: dict[str, str]  # tokens by name
    log: Path


def write_login_file(path: Path, provider: Provider, users: dict[str, str]) -> None:
    """Name Ada with her token, and Bob with the variable that has his."""
    path.write_text(
        f'[auth]\nserver_metadata_url = "{provider.metadata_url}"\nclient_id = "{CLIENT_ID}"\n'
        f'client_secret = {{env = "OIDC_SECRET"}}\ncookie_secret = "{COOKIE_SECRET}"\n\n'
        f'[users]\n"ada@example.org" = "{users["ada"]}"\n"bob@example.org" = {{env = "TOKEN_OF_BOB"}}\n'
    )


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Start a system with two users: Ada, and Bob, whose token is read-only."""
    folder, port = tmp_path_factory.mktemp("lab"), free_port()
    page = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dl-")))
        provider = stack.enter_context(providing(f"{page}/oauth2callback"))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        settings = Settings(home=home)
        migrate.upgrade(settings)
        with Database(settings.database_url).write() as session:
            users = {name: tokens.create(session, name, read_only=name == "bob").token for name in ("ada", "bob")}
        write_login_file(folder / "login.toml", provider, users)
        patch.setenv("DENSITYLAB_API_TOKEN", ADMINISTRATOR)
        environment = {
            "DENSITYLAB_LOGIN_FILE": str(folder / "login.toml"),
            "DENSITYLAB_UI_PORT": str(port),
            "DENSITYLAB_WORKERS": "1",
            "TOKEN_OF_BOB": users["bob"],
            "OIDC_SECRET": CLIENT_SECRET,
        }
        log = folder / "up.log"
        system = stack.enter_context(started(home, log, environment))
        yield Lab(page, system.api, system.client, provider, users, log)


@contextmanager
def window(browser: Browser) -> Iterator[tuple[BrowserContext, Page]]:
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(PATIENCE)
    yield context, context.new_page()
    context.close()


def log_in(provider: Provider, page: str, tab: Page, claims: dict[str, Any]) -> None:
    """Open the page and log in as somebody."""
    provider.user = claims
    tab.goto(page)
    tab.get_by_role("button", name="Log in").click()
    expect(tab.get_by_role("button", name="Log out")).to_be_visible()


def log_out(tab: Page) -> None:
    """Press the button, and wait until the browser comes back from the provider."""
    with tab.expect_navigation():
        tab.get_by_role("button", name="Log out").click()


def logged_out(tab: Page) -> None:
    """Check that the page shows the button and no page, name or number."""
    expect(tab.get_by_role("button", name="Log in")).to_be_visible()
    assert main_text(tab) == "DensityLab Log in"
    expect(tab.get_by_test_id("stTopNavLink")).to_have_count(0)


def main_text(tab: Page) -> str:
    """Return the words of the page without the names of icons."""
    text = tab.get_by_test_id("stMainBlockContainer").inner_text()
    return " ".join(re.sub(r"\b(login|logout|block|person)\n", "", text).split())


def user(tab: Page) -> Locator:
    return tab.locator(".st-key-page-user")


def owners(client: ApiClient) -> set[str | None]:
    return {experiment.owner for experiment in client.experiments(limit=200).items}


def test_a_link_is_opened_once_its_reader_has_logged_in(lab: Lab, browser: Browser):
    with window(browser) as (_, tab):
        log_in(lab.provider, f"{lab.page}/runs?status=failed", tab, ADA)
        expect(tab).to_have_url(f"{lab.page}/runs?status=failed")
        expect(tab.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
        tab.goto(lab.page)  # the link is not opened a second time
        expect(tab.get_by_role("button", name="Launch the demo")).to_be_visible()
        expect(tab).to_have_url(f"{lab.page}/")


def test_a_user_works_with_a_token_of_their_own_and_logs_out(lab: Lab, browser: Browser):
    with window(browser) as (context, tab):
        for path in ("", "/runs", "/system", "/run?run=1"):
            tab.goto(f"{lab.page}{path}")
            logged_out(tab)
        log_in(lab.provider, lab.page, tab, ADA)
        expect(user(tab)).to_contain_text("Ada [Lovelace]")
        expect(tab.get_by_role("button", name="Launch the demo")).to_be_visible()
        tab.goto(f"{lab.page}/launch")
        button = tab.locator(".st-key-launch-button").get_by_role("button")
        expect(button).to_be_enabled()
        epochs = tab.get_by_role("spinbutton", name="Epochs", exact=True)
        epochs.fill("1")
        epochs.press("Enter")
        expect(button).to_be_enabled()
        button.click()
        tab.wait_for_url(re.compile("/(experiment|compare|run)[?]"))
        made = [line for line in lab.client.audit().items if line.path.startswith("/api/v1/experiments")]
        assert [(line.caller, line.method, line.status) for line in made if line.location] == [("ada", "POST", 202)]
        assert owners(lab.client) == {"ada"}
        if os.environ.get("SCREENSHOTS"):
            tab.screenshot(path=f"{os.environ['SCREENSHOTS']}/user.png")

        before = lab.provider.logouts
        log_out(tab)
        logged_out(tab)
        assert lab.provider.logouts == before + 1
        assert not [cookie for cookie in context.cookies() if cookie["name"].startswith("_streamlit_user")]
        tab.goto(f"{lab.page}/experiments")
        logged_out(tab)


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        ({**ADA, "email": "eve@example.org"}, "eve@example.org has no access to this DensityLab."),
        ({**ADA, "email_verified": False}, "has not verified the address Ada@Example.org"),
    ],
)
def test_whoever_is_not_a_user_gets_a_sentence_alone(lab: Lab, browser: Browser, claims: dict[str, Any], sentence: str):
    with window(browser) as (_, tab):
        log_in(lab.provider, lab.page, tab, claims)
        for path in ("", "/runs"):
            tab.goto(f"{lab.page}{path}")
            expect(tab.get_by_role("alert")).to_contain_text(sentence)
            expect(tab.get_by_role("button", name="Log out")).to_be_visible()
            text = main_text(tab)
            assert text.startswith("DensityLab") and text.endswith("Log out") and len(text) < 140, text
            expect(tab.get_by_test_id("stTopNavLink")).to_have_count(0)
        log_out(tab)
        logged_out(tab)


def test_two_users_at_once_have_their_own_rights(lab: Lab, browser: Browser):
    experiment = lab.client.launch({"name": "for two", "spec": SPEC})
    with window(browser) as (_, ada), window(browser) as (_, bob):
        log_in(lab.provider, lab.page, ada, ADA)
        log_in(lab.provider, lab.page, bob, BOB)
        for tab, name in ((ada, "Ada [Lovelace]"), (bob, "Bob"), (ada, "Ada [Lovelace]")):
            tab.goto(f"{lab.page}/launch")
            expect(user(tab)).to_contain_text(name)
        # The same request at the same time: its price is cached for ten seconds
        expect(ada.locator(".st-key-launch-summary")).to_contain_text("1 run")
        refused = bob.get_by_text(re.compile("read-only|only reads"))
        expect(refused.first).to_be_visible()
        expect(ada.get_by_text(re.compile("read-only|only reads"))).to_have_count(0)
        bob.goto(f"{lab.page}/runs")
        expect(bob.get_by_role("heading", name="Runs")).to_be_visible()
        run = experiment.runs[0]
        until(lambda: lab.client.run(run).status.final, lab.log)
        bob.goto(f"{lab.page}/run?run={run}")
        open_expander(bob.get_by_text("Log", exact=True))
        with bob.expect_download() as download:  # made outside of the session, and yet with Bob's token
            bob.get_by_role("button", name="Download the log").click()
        assert download.value.path().read_text()
    assert "bob" not in {line.caller for line in lab.client.audit().items if line.status < 400}


def test_files_of_a_session_need_a_login_too(lab: Lab, browser: Browser):
    lab.client.launch({"name": "in the table", "spec": SPEC})
    with window(browser) as (context, tab):
        log_in(lab.provider, lab.page, tab, ADA)
        tab.goto(f"{lab.page}/runs")
        with tab.expect_download() as download:
            tab.get_by_role("button", name="CSV").first.click()
        address = download.value.url
        assert "/media/" in address
        cookies = {cookie["name"]: cookie["value"] for cookie in context.cookies()}
        forged = {**cookies, "_streamlit_user": cookies["_streamlit_user"][:-3] + "AAA"}
        upload = f"{lab.page}/_stcore/upload_file/session/file"
        for given, admitted in ((cookies, True), ({}, False), (forged, False)):
            with httpx.Client(cookies=given, trust_env=False) as client:
                assert client.get(address).status_code == (200 if admitted else 401)
                assert (client.put(upload).status_code == 401) is not admitted


def test_a_revoked_token_ends_access_at_once(lab: Lab, browser: Browser, tmp_path: Path):
    cara = lab.client.create_token({"name": "cara"})
    with (
        second_page(lab, tmp_path, {"ada": cara.token}) as (page, provider),
        window(browser) as (_, tab),
    ):
        log_in(provider, page, tab, ADA)
        expect(tab.get_by_role("button", name="Launch the demo")).to_be_visible()
        lab.client.revoke_token(cara.id)
        tab.goto(f"{page}/runs")
        expect(tab.get_by_role("alert").first).to_contain_text(re.compile("token", re.I))


def test_login_and_logout_below_the_path_of_a_proxy(lab: Lab, browser: Browser, tmp_path: Path):
    with second_page(lab, tmp_path, lab.users, "/lab") as (page, provider), window(browser) as (context, tab):
        log_in(provider, page, tab, BOB)
        expect(user(tab)).to_contain_text("Bob")
        assert {cookie["path"] for cookie in context.cookies() if cookie["name"] == "_streamlit_user"} == {"/lab"}
        log_out(tab)
        logged_out(tab)
        tab.wait_for_url(f"{page}/")


@contextmanager
def second_page(lab: Lab, folder: Path, users: dict[str, str], prefix: str = "") -> Iterator[tuple[str, Provider]]:
    """Start another page of the system, whose public address may have a path."""
    port, log = free_port(), folder / "page.log"
    page = f"http://127.0.0.1:{port}{prefix}"
    with providing(f"{page}/oauth2callback") as provider:
        write_login_file(folder / "login.toml", provider, users)
        environment = {
            **os.environ,
            "DENSITYLAB_HOME": str(folder),
            "DENSITYLAB_API_URL": lab.api,
            "DENSITYLAB_UI_PORT": str(port),
            "DENSITYLAB_PUBLIC_URL": page,
            "DENSITYLAB_LOGIN_FILE": "login.toml",
            "TOKEN_OF_BOB": lab.users["bob"],
            "OIDC_SECRET": CLIENT_SECRET,
        }
        with log.open("wb") as output:
            argv = [sys.executable, "-P", "-m", "densitylab.frontend.page_server"]
            process = subprocess.Popen(argv, env=environment, cwd=folder, stdout=output, stderr=output)
        try:
            until(lambda: process.poll() is not None or answers(page), log)
            yield page, provider
        finally:
            process.terminate()
            process.wait(30)


def answers(page: str) -> bool:
    try:
        return httpx.get(f"{page}/_stcore/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_secrets_are_in_no_log_and_no_backup(lab: Lab, tmp_path: Path):
    archive = tmp_path / "everything.tar"
    environment = {**os.environ, "DENSITYLAB_HOME": str(home_of(lab))}
    subprocess.run(
        [sys.executable, "-P", "-m", "densitylab", "backup", str(archive)], env=environment, check=True, timeout=120
    )
    shown = lab.log.read_bytes() + archive.read_bytes()
    assert len(shown) > 10_000
    for secret in (CLIENT_SECRET, COOKIE_SECRET, ADMINISTRATOR, *lab.users.values()):
        assert secret.encode() not in shown


def home_of(lab: Lab) -> Path:
    found = re.search(r"state (\S+)", lab.log.read_text())
    assert found is not None
    return Path(found[1])
