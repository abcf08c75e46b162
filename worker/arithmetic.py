"""How training computes: in which precision, with or without deterministic kernels, compiled or not.

    arithmetic = Arithmetic(precision="auto", deterministic=False, compiled=False)
    with arithmetic.applied(device) as autocast:
        forward = arithmetic.forward(model)
        with autocast(): logits = forward(x)
    missing_compiler(device) -> str | None
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch._functorch import config as functorch_config
from torch.utils._triton import has_triton

from worker.double_backward import fast_double_backward

_HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}
PRECISIONS = ("auto", "float32", *_HALF)


@dataclass(frozen=True)
class Arithmetic:
    """How a run computes.

    Args:
        precision: "float32", "bfloat16" or "float16" autocast, or "auto": bfloat16 where the GPU has it, else float32.
        deterministic: kernels that give the same bits at every repeat, or an error where there is none. The CPU's do
            already; on a GPU they are slower.
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
        """The type that autocast computes in, None where everything is float32."""
        cuda = device.type == "cuda"
        if self.precision == "auto":
            return torch.bfloat16 if cuda and torch.cuda.is_bf16_supported(including_emulation=False) else None
        return _HALF.get(self.precision)

    def memory_format(self, device: torch.device) -> torch.memory_format:
        """How the weights of convolutions lie: channels last where a GPU computes in half precision."""
        half = device.type == "cuda" and self.half(device) is not None
        return torch.channels_last if half else torch.contiguous_format

    def forward(self, model: torch.nn.Module) -> torch.nn.Module:
        """What gives the logits: the model itself, or compiled, with the model's parameters and mode."""
        if not self.compiled:
            return model
        # not dynamic: code for any batch size gave wrong gradient norms when a graph was gone through twice (torch
        # 2.15). fallback_random: the dropout masks are those of the model that is not compiled
        return torch.compile(model, dynamic=False, options={"fallback_random": True})

    @contextmanager
    def applied(self, device: torch.device) -> Iterator[Callable[[], torch.autocast]]:
        """Gives the autocast of a step; float32 is meant in full, so TF32 is off inside."""
        with ExitStack() as stack:
            if device.type == "cuda":
                for backend in (torch.backends.cuda.matmul, torch.backends.cudnn.conv):
                    stack.callback(setattr, backend, "fp32_precision", backend.fp32_precision)
                    backend.fp32_precision = "ieee"
                if not self.compiled:  # a compiled model is not differentiated twice
                    stack.enter_context(fast_double_backward(device))
            if self.deterministic:
                stack.enter_context(_deterministic())
            if self.compiled:
                # the gradient norms and the loss both go back through one graph, which a compiled one may else free
                stack.enter_context(functorch_config.patch(donated_buffer=False))
            half = self.half(device)
            yield lambda: torch.autocast(device.type, dtype=half or torch.bfloat16, enabled=half is not None)


USUAL = Arithmetic()


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
    """What `torch.compile` lacks on this machine, in words; None where it has what it needs."""
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        return "a C++ compiler (g++, or what the variable CXX names)"
    if device.type == "cuda" and not has_triton():
        return "Triton"
    return None
