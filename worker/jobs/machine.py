"""Where a job computes: device, threads, and the versions that go into its provenance."""

import os
import platform
import socket
from importlib.metadata import version
from typing import Any

import torch

from backend.shared.settings import Settings
from worker.jobs.failures import JobFailed

_PACKAGES = ("torch", "torchvision", "numpy", "captum")


def choose_device(wanted: str) -> torch.device:
    """The device of a spec: "auto" is the GPU where there is one. Raises JobFailed where it is not there."""
    if wanted == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        if wanted == "auto":
            return torch.device("cpu")
        raise JobFailed(f"The run asks for device {wanted!r}, and this worker has no GPU: launch it with 'auto'.")
    device = torch.device("cuda" if wanted == "auto" else wanted)
    if device.index is not None and device.index >= torch.cuda.device_count():
        raise JobFailed(
            f"The run asks for device {wanted!r}, and this worker has {torch.cuda.device_count()} GPU(s), counted "
            "from 0: launch it with 'auto'."
        )
    return device


def device_name(device: torch.device) -> str:
    """Such as "cpu (x86_64, 2 threads)" or "cuda (NVIDIA H100)"."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({platform.machine()}, {torch.get_num_threads()} threads)"


def training_threads(settings: Settings) -> int:
    """CPU threads of one training worker: as set, or the cores shared by the workers."""
    workers = settings.workers or max(1, torch.cuda.device_count())
    return settings.threads or max(1, len(os.sched_getaffinity(0)) // workers)


def provenance(device: torch.device) -> dict[str, Any]:
    """What a figure depends on besides its spec and its data."""
    return {
        "packages": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "host": socket.gethostname(), "device": device_name(device), "threads": torch.get_num_threads(),
    }
