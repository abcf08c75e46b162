"""A real embedded broker whose log is damaged: it starts without it."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from densitylab.backend.ops import launcher
from densitylab.backend.ops.supervisor import Child, Supervisor
from densitylab.backend.shared.settings import Settings


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def supervisor(lines: list[str]) -> Iterator[Supervisor]:
    supervisor = Supervisor(lambda _name, line: lines.append(line))
    yield supervisor
    supervisor.stop((supervisor.children, 5.0))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def zeroes_at_the_end(log: Path) -> None:
    with _file(log, "incr.aof").open("ab") as file:
        file.write(bytes(4096))


def bytes_overwritten(log: Path) -> None:
    file = _file(log, "incr.aof")
    content = bytearray(file.read_bytes())
    content[10:14] = b"\xff\x00$*"
    file.write_bytes(content)


def an_empty_manifest(log: Path) -> None:
    _file(log, "manifest").write_bytes(b"")


def a_cut_base(log: Path) -> None:
    file = _file(log, "base.rdb")
    file.write_bytes(file.read_bytes()[:40])


def a_base_with_zeroes(log: Path) -> None:
    file = _file(log, "base.rdb")
    content = file.read_bytes()
    file.write_bytes(content[:-20] + bytes(20))


def a_missing_base(log: Path) -> None:
    _file(log, "base.rdb").unlink()


def a_file_in_its_place(log: Path) -> None:
    shutil.rmtree(log)
    log.write_bytes(b"x")


DAMAGES = (
    zeroes_at_the_end,
    bytes_overwritten,
    an_empty_manifest,
    a_cut_base,
    a_base_with_zeroes,
    a_missing_base,
    a_file_in_its_place,
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.few(2)
def test_it_is_set_aside(damage: Callable[[Path], None], settings: Settings, lines: list[str]):
    log = settings.home / "broker" / "appendonlydir"
    for round_ in (1, 2):  # the second time, what was set aside before is replaced
        _used(settings)
        damage(log)
        supervisor = Supervisor(lambda _name, line: lines.append(line))
        supervisor.start(_child(settings))
        supervisor.stop((supervisor.children, 5.0))
        assert sum("is kept as" in line and "delivered again" in line for line in lines) == round_
        assert sorted(path.name for path in log.parent.iterdir() if "aof" in path.name or "append" in path.name) == [
            "appendonlydir",
            "appendonlydir.damaged",
        ]


def test_so_it_is_while_the_system_runs(settings: Settings, supervisor: Supervisor, lines: list[str]):
    child = _child(settings)
    supervisor.start(child)
    _client(settings).set("k", "v")
    time.sleep(1.2)  # it writes its log every second
    zeroes_at_the_end(settings.home / "broker" / "appendonlydir")
    child.process.kill()
    _wait_for_restart(child, supervisor, settings)
    assert sum("is kept as" in line for line in lines) == 1 and _client(settings).get("k") is None


def test_a_sound_log_is_kept(settings: Settings, supervisor: Supervisor, lines: list[str]):
    _used(settings)
    child = _child(settings)
    supervisor.start(child)
    assert _client(settings).get("k") == b"v"
    child.process.kill()
    _wait_for_restart(child, supervisor, settings)
    assert _client(settings).get("k") == b"v" and not [line for line in lines if "is kept as" in line]


def _used(settings: Settings) -> None:
    """Start a broker, write to it, and end it."""
    supervisor = Supervisor(lambda _name, _line: None)
    supervisor.start(_child(settings))
    _client(settings).set("k", "v")
    supervisor.stop((supervisor.children, 5.0))


def _child(settings: Settings) -> Child:
    launcher._make_broker_folders(settings)
    return launcher._broker(settings)


def _client(settings: Settings) -> "Redis[bytes]":
    return Redis(unix_socket_path=str(settings.broker_socket))


def _wait_for_restart(killed: Child, supervisor: Supervisor, settings: Settings) -> None:
    deadline, before = time.monotonic() + 20, killed.process
    while killed.process in (before, None) or not launcher._pong(settings.broker_socket):
        supervisor.keep()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _file(log: Path, ending: str) -> Path:
    (file,) = log.glob(f"*{ending}")
    return file
