"""The whole system in odd folders and environments: it comes up with all workers, a run ends and its maps show."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import httpx
import numpy as np
import pytest

from densitylab.backend.shared.contracts import Status
from tests.end_to_end.systems import UP, RunningSystem, started
from tests.servers import until

pytestmark = pytest.mark.timeout(600)
TINY = {"name": "odd ü", "spec": {"epochs": 1, "train_samples": 300, "evaluations": [{"key": "leakage"}]}}
EVERYTHING = "a b=c#d?e%20ü'x"
FOLDERS = ["a b", "a=b", "a#b", "a?b", "a%20b", "ü", "it's", 'say "a"', "a&b;c", "$HOME", "x" * 160]
PROXIES = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
ENVIRONMENTS = {
    "umask": ("sh", "-c", 'umask 077; exec "$@"', "sh"),
    "no HOME": ("env", "-u", "HOME"),
    "LANG=C": ("env", "LANG=C", "LC_ALL=C", "PYTHONCOERCECLOCALE=0", "PYTHONUTF8=0"),
    "de_DE": ("env", "LANG=de_DE.ISO-8859-1", "LC_ALL=de_DE.ISO-8859-1"),
    "time zone": ("env", "TZ=Pacific/Kiritimati"),
    "stdin closed": ("sh", "-c", 'exec "$@" <&-', "sh"),
    "stdout closed": ("sh", "-c", 'exec "$@" >&-', "sh"),
    "stdout a closed pipe": ("bash", "-c", 'exec "$@" > >(:)', "bash"),
    "read-only HOME": ("env", "HOME=/proc"),
    "proxies": ("env", *(f"{name}={value}" for name, value in PROXIES.items())),
    "SOCKS": ("env", "ALL_PROXY=socks5h://127.0.0.1:9", "all_proxy=socks5h://127.0.0.1:9"),
}


def check(system: RunningSystem, log: Path) -> None:
    """Train a run, evaluate it and draw its maps; the page answers too."""
    run = system.client.launch(TINY).runs[0]
    until(lambda: all(item.status.final for item in system.client.evaluations(run)), log)
    assert system.client.run(run).status == Status.SUCCEEDED, system.client.run(run).error
    assert {item.status for item in system.client.evaluations(run)} == {Status.SUCCEEDED}
    drawn = system.client.draw({"runs": [run], "method": "gradient", "samples": {"indices": [0, 1]}}, timeout=120)
    assert drawn.status == Status.SUCCEEDED, drawn
    assert np.abs(system.client.attribution_arrays(drawn.id)["attributions"]).max() > 0
    assert httpx.get(system.page).status_code == 200


def start_and_check(
    home: Path,
    log: Path,
    command: Sequence[str] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
    announced: bool = True,
) -> str:
    """Return the log."""
    home.mkdir(parents=True)
    with started(home, log, environment, [*command, *UP], announced=announced) as system:
        check(system, log)
        assert len(list(home.glob("densitylab.sqlite"))) == 1 and (home / "artifacts" / "runs").is_dir()
    assert "Traceback" not in log.read_text()
    return log.read_text()


def test_in_a_folder_whose_name_has_everything(tmp_path: Path):
    said = start_and_check(tmp_path / EVERYTHING / "state", tmp_path / "log.txt", environment=PROXIES)
    answered, up = said.index("Page and API answer"), said.index("DensityLab is up")
    for worker in ("evaluate, train-high", "interactive", "prepare"):
        assert answered < said.index(f"ready for {worker}") < up
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [EVERYTHING]


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLDERS)
def test_in_a_folder_of_any_name(tmp_path: Path, name: str):
    start_and_check(tmp_path / name, tmp_path / "log.txt")


@pytest.mark.slow
@pytest.mark.parametrize("condition", ENVIRONMENTS)
def test_in_any_environment(tmp_path: Path, condition: str):
    command = ENVIRONMENTS[condition]
    start_and_check(tmp_path / EVERYTHING, tmp_path / "log.txt", command, announced="stdout" not in condition)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", EVERYTHING])
def test_as_another_user_without_a_writable_working_directory(name: str):
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can start a process as another user")
    as_nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all")
    if (
        subprocess.run([*as_nobody, sys.executable, "-c", "import densitylab.backend.ops.launcher"], cwd="/").returncode
        != 0
    ):
        pytest.skip("another user cannot run this interpreter")
    # Not below the tests' folder, which only root may enter
    folder = Path(subprocess.check_output(["mktemp", "-d", "/tmp/dl-user-XXXXXX"], text=True).strip())
    try:
        home = folder / name
        home.mkdir()
        for path in (folder, home):
            os.chown(path, 65534, 65534)
        script = 'umask 077; cd /; unset HOME; export TZ=Asia/Tokyo LANG=C; exec "$@"'
        log = folder / "log.txt"
        with started(home, log, {}, ["sh", "-c", script, "sh", *as_nobody, *UP]) as system:
            check(system, log)
        assert {path.stat().st_uid for path in home.rglob("*")} == {65534}
    finally:
        shutil.rmtree(folder)
