"""Devices of this machine, found without CUDA: the launcher must not use a GPU or import torch."""

import os
import shutil
import subprocess
from pathlib import Path


def gpus(visible: str | None, driver: Path = Path("/proc/driver/nvidia/gpus")) -> list[str]:
    """Return names for CUDA_VISIBLE_DEVICES, one per GPU.

    Args:
        visible: the CUDA_VISIBLE_DEVICES that we were started with, which is obeyed.
        driver: folder where the NVIDIA driver lists its GPUs; read only if `nvidia-smi` is missing.
    """
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() and name.strip() != "-1"]
    if shutil.which("nvidia-smi"):
        listing = _nvidia_smi()
        count = sum(line.startswith("GPU ") for line in listing.splitlines())
    else:
        count = len(list(driver.iterdir())) if driver.is_dir() else 0
    return [str(index) for index in range(count)]


def cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return the CPU cores of this process: its affinity, limited by the container's quota if there is one."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        limit, period = quota.read_text().split()
    except (OSError, ValueError):
        return affinity
    if limit == "max":
        return affinity
    return max(1, min(affinity, int(limit) // int(period)))


def memory(quota: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """Return the bytes of memory of this machine, limited by the container's quota if there is one."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(whole, int(quota.read_text()))
    except (OSError, ValueError):  # "max": no limit
        return whole


def _nvidia_smi() -> str:
    try:
        return subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):  # nvidia-smi exists without a working driver
        return ""
