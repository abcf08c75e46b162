"""Precision, deterministic kernels and compilation of training.

compute = ComputeConfig(precision="auto", deterministic=False, compiled=False)
with compute.applied(device) as autocast:
    forward = compute.forward(model)
    with autocast(): logits = forward(x)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch._functorch import config as functorch_config
from torch.utils._triton import has_triton

from densitylab.worker.autograd import fp32_backends
from densitylab.worker.training.double_backward import fast_double_backward

_HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}
PRECISIONS = ("auto", "float32", *_HALF)


@dataclass(frozen=True)
class ComputeConfig:
    """Precision, determinism and compilation of a run.

    Args:
        precision: "float32", "bfloat16" or "float16" autocast, or "auto": bfloat16 if the GPU has it, else float32.
        deterministic: use kernels that give the same bits at every repeat, or raise an error if there is none. Those
            of the CPU always do; on a GPU they are slower.
        compiled: run the model through `torch.compile`.

    Raises:
        ValueError: unknown precision.
    """

    precision: str = "auto"
    deterministic: bool = False
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")

    def half(self, device: torch.device) -> torch.dtype | None:
        """Return the dtype of autocast, None if everything is float32."""
        cuda = device.type == "cuda"
        if self.precision == "auto":
            return torch.bfloat16 if cuda and torch.cuda.is_bf16_supported(including_emulation=False) else None
        return _HALF.get(self.precision)

    def resolved(self, device: torch.device) -> str:
        """Return the name of the precision on the device, such as "bfloat16" where "auto" is that."""
        half = self.half(device)
        return "float32" if half is None else str(half).removeprefix("torch.")

    def memory_format(self, device: torch.device) -> torch.memory_format:
        """Return the layout of convolution weights: channels last on a GPU in half precision."""
        half = device.type == "cuda" and self.half(device) is not None
        return torch.channels_last if half else torch.contiguous_format

    def forward(self, model: torch.nn.Module) -> torch.nn.Module:
        """Return the model, or a compiled one that shares its parameters and mode."""
        if not self.compiled:
            return model
        # dynamic: code for any batch size gave wrong gradient norms when one graph was traversed twice (torch 2.15).
        # fallback_random: the dropout masks are those of the model that is not compiled
        return cast(torch.nn.Module, torch.compile(model, dynamic=False, options={"fallback_random": True}))

    @contextmanager
    def applied(self, device: torch.device) -> Iterator[Callable[[], torch.autocast]]:
        """Yield the autocast of a step. TF32 is off inside, so that float32 is exact."""
        with ExitStack() as stack:
            if device.type == "cuda":
                for backend in fp32_backends():
                    stack.callback(setattr, backend, "fp32_precision", backend.fp32_precision)
                    backend.fp32_precision = "ieee"
                if not self.compiled:  # a compiled model is not differentiated twice
                    stack.enter_context(fast_double_backward(device))
            if self.deterministic:
                stack.enter_context(_deterministic())
            if self.compiled:
                # gradient norms and loss both use one graph, which compiled code would free after the first backward
                stack.enter_context(functorch_config.patch(donated_buffer=False))
            half = self.half(device)
            yield lambda: torch.autocast(device.type, dtype=half or torch.bfloat16, enabled=half is not None)


DEFAULT = ComputeConfig()


@contextmanager
def _deterministic() -> Iterator[None]:
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS when it is first used
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.deterministic, cudnn.benchmark = before[1:]


def missing_compiler(device: torch.device) -> str | None:
    """Return what `torch.compile` lacks on this machine, in words, None if nothing is missing."""
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        return "a C++ compiler (g++, or the one in the variable CXX)"
    if device.type == "cuda" and not has_triton():
        return "Triton"
    return None
