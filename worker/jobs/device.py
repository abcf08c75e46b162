"""Device, threads and provenance of a job."""

import platform
import socket
from importlib.metadata import version
from typing import Any

import torch

from densitylab.backend.shared import specs
from densitylab.backend.shared.contracts import RunSpec
from densitylab.worker.jobs.context import Context
from densitylab.worker.jobs.failures import JobFailed

_PACKAGES = ("torch", "torchvision", "numpy", "captum")


def choose_device(requested: str) -> torch.device:
    """Return the device of a spec; "auto" is the GPU if there is one. Raises JobFailed if the device is missing."""
    if requested == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        if requested == "auto":
            return torch.device("cpu")
        raise JobFailed(f"The run needs device {requested!r}, and this worker has no GPU: launch it with 'auto'.")
    device = torch.device("cuda" if requested == "auto" else requested)
    if device.index is not None and device.index >= torch.cuda.device_count():
        raise JobFailed(
            f"The run needs device {requested!r}, and this worker has {torch.cuda.device_count()} GPU(s), counted "
            "from 0: launch it with 'auto'."
        )
    return device


def device_name(device: torch.device) -> str:
    """Return a description such as "cpu (x86_64, 2 threads)" or "cuda (NVIDIA H100)"."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    threads = torch.get_num_threads()
    return f"{device} ({platform.machine()}, {threads} thread{'s' if threads > 1 else ''})"


def set_threads(context: Context, spec: RunSpec) -> None:
    """Let torch use the CPU threads of a run with this spec. Raises UnknownKey: see `specs.cpu_threads`."""
    torch.set_num_threads(specs.cpu_threads(context.catalog, spec, context.settings.threads))


def provenance(device: torch.device, plugins: dict[str, Any]) -> dict[str, Any]:
    """Return what a result depends on besides its spec and its data; `plugins` by package, where any are in use."""
    return {
        "packages": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "host": socket.gethostname(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        **({"plugins": plugins} if plugins else {}),
    }
