"""A real Docker engine for tests: Debian's packages in a folder, started by root in namespaces of its own."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import httpx

from tests.servers import until

SUITE = "trixie"
PACKAGES = "ca-certificates,docker.io,docker-buildx,docker-cli,docker-compose,iproute2"
PROGRAMS = ("apt-get", "debootstrap", "unshare", "nsenter", "pivot_root", "setpriv")
FREE_GB = 25  # the worker's image has PyTorch with CUDA
CGROUP = "densitylab-test"
CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")

# pivot_root onto itself stacks the old root on the new one, from where it is unmounted. Whatever is mounted and started
# in these namespaces ends with their first process
ENTER = """
set -e
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
pivot_root . .
umount --lazy .
cd /
ip link set lo up
exec dockerd --bridge=none --iptables=false --ip6tables=false --ip-forward=false --cgroup-parent="$2"
"""


def obstacle() -> str | None:
    """Return in a sentence why no engine can run on this machine, or None."""
    if not hasattr(os, "getuid") or os.getuid() != 0:
        return "only root can start a container engine"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"a container engine needs Debian with {', '.join(missing)}"
    free = shutil.disk_usage(tempfile.gettempdir()).free / 1e9
    if free < FREE_GB:
        return f"an engine and its images need {FREE_GB} GB in {tempfile.gettempdir()}, where {free:.0f} GB are free"
    if not debian_mirror():
        return "a container engine needs Debian's packages, which the apt sources of this machine do not have"
    try:
        httpx.get(f"{debian_mirror()}dists/{SUITE}/InRelease", timeout=30).raise_for_status()
    except httpx.HTTPError as error:
        return f"Debian's packages for a container engine cannot be downloaded: {error}"
    return None


def debian_mirror() -> str:
    """Return the address of Debian's packages in this machine's apt sources; empty: there is none."""
    argv = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN)", "Created-By: Packages"]
    lines = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.splitlines()
    return next((line.split()[0] for line in lines if line.endswith(" Debian")), "")


def debootstrap(suite: str, folder: Path, packages: str = "ca-certificates") -> None:
    """Install a minimal Debian with these packages from this machine's mirror, and trust what this machine trusts."""
    cache = folder.parent / "packages"
    cache.mkdir(exist_ok=True)
    options = [f"--cache-dir={cache}", "--variant=minbase", f"--include={packages}"]
    argv = ["nice", "-n", "10", "debootstrap", *options, suite, str(folder), debian_mirror()]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    for name in ("proc", "sys"):  # a copy of the folder would contain what is still mounted
        subprocess.run(["umount", str(folder / name)], capture_output=True)
    shutil.copy(Path("/") / CERTIFICATES, folder / CERTIFICATES)


class Engine:
    """Docker Engine and Compose in `folder`, which is their root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pid = 0  # of dockerd, as seen from here

    def start(self, *, own_network: bool) -> None:
        """Start the engine. Images are built with this machine's network, and containers run in one of its own."""
        namespaces = ["--mount", "--pid", *(["--net"] if own_network else [])]
        argv = ["nice", "-n", "10", "setpriv", "--pdeathsig", "KILL", "unshare", *namespaces, "--fork", "--kill-child"]
        log = self.folder / "engine.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*argv, "sh", "-c", ENTER, "sh", str(self.folder), CGROUP], stdout=output, stderr=output
            )
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        until(lambda: bool(children.read_text()), log, 30)
        self.pid = int(children.read_text())
        until(lambda: self.inside("docker", "info", check=False).returncode == 0, log, 120)

    def stop(self) -> None:
        """Stop the engine and all containers."""
        if self.pid:
            subprocess.run(["kill", str(self.pid)], check=True)
            self._process.wait(120)
            self.pid = 0
        for group in {*Path("/sys/fs/cgroup").glob(CGROUP), *Path("/sys/fs/cgroup").glob(f"*/{CGROUP}")}:
            for folder, _, _ in os.walk(group, topdown=False):
                os.rmdir(folder)

    def enter(self, *namespaces: str) -> list[str]:
        """Return the prefix of a command that runs in these namespaces of the engine."""
        return ["nsenter", "--target", str(self.pid), *namespaces]

    def inside(
        self, *argv: str, check: bool = True, stdin: int | None = None, cwd: str = "/"
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command with the engine's files, processes and network.

        Raises:
            AssertionError: it failed; with the end of its output.
        """
        prefix = self.enter("--mount", "--pid", "--net", "--root", f"--wdns={cwd}")
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "BUILDKIT_PROGRESS": "plain"}
        done = subprocess.run([*prefix, *argv], stdin=stdin, capture_output=True, text=True, env=environment)
        assert not check or done.returncode == 0, f"{' '.join(argv)}\n{(done.stdout + done.stderr)[-4000:]}"
        return done

    def processor_seconds(self) -> float:
        """Return the time that the engine has spent so far, with the health checks that it ran."""
        total = 0
        for stat in self.inside("sh", "-c", "cat /proc/[0-9]*/stat 2> /dev/null; true").stdout.splitlines():
            name, _, fields = stat.rpartition(") ")
            if name.partition("(")[2] in ("dockerd", "containerd", "containerd-shim"):
                total += sum(map(int, fields.split()[11:15]))  # of the process and of children that ended
        return total / os.sysconf("SC_CLK_TCK")

    def docker(self, *argv: str) -> str:
        """Run a docker command and return its output."""
        return self.inside("docker", *argv).stdout.strip()
