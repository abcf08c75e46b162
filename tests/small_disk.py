"""A small file system for tests of full disks: a tmpfs, which only root can mount."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


class SmallDisk:
    """A mounted folder, filled by files of the test until it takes no more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._fillers = folder / "fillers"
        self._fillers.mkdir()

    def fill(self) -> None:
        """Use up all space."""
        with suppress(OSError), (self._fillers / "bytes").open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def fill_with_files(self) -> None:
        """Use up all inodes, while bytes are free."""
        with suppress(OSError):
            for number in range(10**6):
                (self._fillers / str(number)).touch()

    def empty(self) -> None:
        for file in self._fillers.iterdir():
            file.unlink()


@contextmanager
def small_disk(folder: Path, *, kib: int, files: int = 2000) -> Iterator[SmallDisk]:
    """Mount a disk of this size on the folder; skip the test where that is not permitted."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k,nr_inodes={files},mode=700", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk is not permitted here")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
