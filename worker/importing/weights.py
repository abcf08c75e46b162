"""Load the tensors of a file into a network, as its own types, after a check of their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from densitylab.worker.importing.errors import BadModelFile
from densitylab.worker.importing.fitting import Fit, is_counter

_QUANTISED = (torch.int8, torch.uint8, torch.int16)
_FLOATS = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.float8_e4m3fn, torch.float8_e5m2),
)
_INTEGERS = (
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.bool),
    *(torch.uint64, torch.uint32, torch.uint16, torch.uint8),
)


def require_numbers(tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
    """Raise BadModelFile for quantised or complex weights, for NaN and infinite ones, and for variances below 0."""
    for name, tensor in tensors:
        if tensor.is_quantized or (tensor.dtype in _QUANTISED and tensor.ndim >= 2):
            raise BadModelFile(
                f"The weights are quantised ({name[:100]} is {_type(tensor)}): import the network from before its "
                "quantisation."
            )
        if tensor.is_complex():
            raise BadModelFile(f"The weights {name[:100]} are complex numbers, which no image classifier here has.")
        if tensor.dtype not in (*_FLOATS, *_INTEGERS):
            raise BadModelFile(f"The weights {name[:100]} have the type {_type(tensor)}, which can't be imported.")
        if tensor.dtype in _FLOATS:
            numbers = tensor.float()
            wrong = int((~torch.isfinite(numbers)).sum())
            if wrong:
                raise BadModelFile(
                    f"The weights {name[:100]} have {wrong:,} values that are NaN or infinite: the training "
                    "diverged, or the file is damaged."
                )
            below = int((numbers < 0).sum()) if name.rpartition(".")[2] == "running_var" else 0
            if below:
                raise BadModelFile(
                    f"The variances {name[:100]} have {below:,} values below 0, which no training gives: the file is "
                    "damaged."
                )


def require_types(tensors: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> None:
    """Raise BadModelFile if a network's tensor is of floating-point numbers and the file's is not, or the other way.

    Args:
        tensors: of the file.
        own: of the network. Its counters, such as num_batches_tracked, may be of either kind.
    """
    for name, tensor in tensors.items():
        if name not in own or is_counter(name):
            continue
        if (tensor.dtype in _FLOATS) != own[name].is_floating_point():
            raise BadModelFile(
                f"The weights {name[:100]} are of type {_type(tensor)}, and the network's of type {_type(own[name])}: "
                "the file has other numbers than the trained weights."
            )


def load(network: torch.nn.Module, fit: Fit) -> None:
    """Load the weights that fit into the network, in its types; the others stay as they are.

    Raises:
        BadModelFile: weights are of another kind of numbers than the network's.
    """
    own = network.state_dict()
    fitting = {name: fit.tensors[name] for name in fit.loadable}
    require_types(fitting, own)
    with torch.no_grad():
        for name, tensor in fitting.items():
            own[name].copy_(tensor)


def _type(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
