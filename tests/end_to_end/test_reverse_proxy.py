"""Page and API below a path, behind nginx and Caddy with the configurations that docs/operation.md gives."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from densitylab.backend.shared.contracts import Event
from densitylab.frontend.client import ApiClient, connect
from tests.end_to_end.charts import expect_points
from tests.end_to_end.systems import RunningSystem, started
from tests.servers import free_port, until

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60_000  # milliseconds
SPEC = {"epochs": 1, "train_samples": 200, "model": {"key": "mlp", "params": {"hidden": 16}}, "device": "cpu"}


@dataclass(frozen=True)
class Proxied:
    kept: str  # the address below which the proxy keeps the path
    removed: str  # the one below which it removes the path
    client: ApiClient


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def proxied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    name: str = request.param
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if program is None:
        pytest.skip(f"no {name} on this machine")
    folder, kept, removed = tmp_path_factory.mktemp(name), free_port(), free_port()
    public = f"http://localhost:{kept}/lab"
    settings = {"DENSITYLAB_PUBLIC_URL": public, "DENSITYLAB_TRUSTED_PROXIES": "127.0.0.1"}
    with (
        tempfile.TemporaryDirectory(prefix="dl-") as home,
        started(Path(home), folder / "up.log", settings) as system,
    ):
        assert f"page  {public}\n" in (folder / "up.log").read_text()
        file, log = folder / "configuration", folder / "proxy.log"
        file.write_text({"nginx": nginx, "caddy": caddy}[name](folder, system, kept, removed))
        options = {
            "nginx": ["-p", str(folder), "-c", str(file), "-e", str(log)],
            "caddy": ["run", "--config", str(file), "--adapter", "caddyfile"],
        }
        environment = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        with log.open("wb") as output:
            process = subprocess.Popen([program, *options[name]], stdout=output, stderr=output, env=environment)
        try:
            until(lambda: process.poll() is not None or answers(f"{public}/"), log)
            yield Proxied(public, f"http://localhost:{removed}/lab", connect(public))
        finally:
            process.terminate()
            process.wait(30)


def nginx(folder: Path, system: RunningSystem, kept: int, removed: int) -> str:
    """Return the documented configuration with ports of this test and without TLS, and a variant below it that removes
    the path."""
    documented = re.search(r"```nginx\n(.*?)```", (ROOT / "docs/operation.md").read_text(), re.DOTALL)
    assert documented is not None
    text = re.sub(r"\n *ssl_certificate.*", "", documented[1])
    text = text.replace("http://127.0.0.1:8501", system.page).replace("http://127.0.0.1:8000", system.api)
    connections, _, server = text.partition("server {")
    first = f"server {{{server}".replace("listen 443 ssl", f"listen 127.0.0.1:{kept}")
    second = f"server {{{server}".replace("listen 443 ssl", f"listen 127.0.0.1:{removed}")
    second = second.replace(f"proxy_pass {system.page};", f"proxy_pass {system.page}/;")
    second = second.replace(
        f"proxy_pass {system.api};", f"rewrite ^/lab/(.*) /$1 break;\n        proxy_pass {system.api};"
    )
    assert "/;" in second and "rewrite" in second
    temporary = "".join(
        f"{name}_temp_path {folder / name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"daemon off;\npid {folder / 'pid'};\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}{connections}{first}{second}}}\n"
    )


def caddy(_folder: Path, system: RunningSystem, kept: int, removed: int) -> str:
    """Return the documented configuration with ports of this test and without TLS, and a variant below it that removes
    the path."""
    documented = re.search(r"^lab\.example\.org \{\n.*?^\}\n", (ROOT / "docs/operation.md").read_text(), re.M | re.S)
    assert documented is not None
    text = documented[0].replace("127.0.0.1:8501", system.page.removeprefix("http://"))
    text = text.replace("127.0.0.1:8000", system.api.removeprefix("http://"))
    first = text.replace("lab.example.org {", f"http://localhost:{kept} {{")
    second = text.replace("lab.example.org {", f"http://localhost:{removed} {{\n    uri strip_prefix /lab")
    return f"{{\n    admin off\n}}\n{first}{second.replace(' /lab/', ' /')}"


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def test_a_client_works_below_the_path(proxied: Proxied):
    client = proxied.client
    launched = client.launch({"name": "below", "spec": SPEC})
    for event in client.events(run=launched.runs[0]):
        if isinstance(event, Event) and event.type == "run.succeeded":
            break
    (run,) = client.wait(launched.id, timeout=300)
    assert run.status.value == "succeeded" and client.artifacts(run.id)
    body = {"name": "location", "spec": SPEC}
    made = httpx.post(f"{proxied.kept}/api/v1/experiments", json=body, trust_env=False)
    assert made.headers["location"] == f"/lab/api/v1/experiments/{made.json()['id']}"
    for run_id in made.json()["runs"]:
        client.cancel_run(run_id)


@pytest.mark.parametrize("variant", ["kept", "removed"])
def test_a_browser_works_below_the_path(proxied: Proxied, browser: Browser, variant: str):
    address = getattr(proxied, variant)
    run = proxied.client.launch({"name": "shown", "spec": SPEC}).runs[0]
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(PATIENCE)
    tab = context.new_page()
    asked: list[str] = []
    thrown: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("websocket", lambda socket: asked.append(socket.url.replace("ws://", "http://")))
    tab.on("pageerror", lambda error: thrown.append(str(error)))

    tab.goto(f"{address}/run?run={run}")
    expect_points(tab.locator(".densitylab-chart").first, re.compile("[1-9]"), 240)
    tab.get_by_text("Work", exact=True).click()
    tab.locator("a[href$='/runs']").first.click()
    tab.wait_for_url(f"{address}/runs")
    expect(tab.get_by_role("heading", name="Runs")).to_be_visible(timeout=PATIENCE)
    tab.goto(f"{address}/launch")
    tab.get_by_text("As a REST request").click()
    expect(tab.get_by_text(f"curl -X POST {proxied.kept}/api/v1/experiments")).to_be_visible(timeout=PATIENCE)
    tab.goto(f"{address}/saliency?runs={run}")
    expect(tab.locator(".dl-card img").first).to_be_visible(timeout=PATIENCE)
    tab.goto(f"{address}/docs")
    expect(tab.get_by_text("/api/v1/catalog").first).to_be_visible(timeout=PATIENCE)
    context.close()
    assert [url for url in asked if not url.startswith((f"{address}/", "data:", "blob:"))] == []
    assert any(url.endswith("/_stcore/stream") for url in asked) and thrown == []


def test_the_proxy_does_not_pass_foreign_hosts_on(proxied: Proxied):
    for path in ("/", "/run", "/api/v1/runs", "/docs"):
        answer = httpx.get(f"{proxied.kept}{path}", headers={"Host": "evil.example"}, trust_env=False)
        assert answer.status_code == 400 or not answer.content, (
            path
        )  # Caddy answers nothing for a site it does not have
