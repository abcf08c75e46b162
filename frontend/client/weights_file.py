"""The file of a module's weights. Only a module needs the package safetensors, and the torch that made it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO, Any


@contextmanager
def weights_file(model: Any) -> Iterator[tuple[IO[bytes], str]]:
    """Give an open file of weights and its name.

    Args:
        model: a torch module, its state dict, or the path of a file, which is opened as it is.

    Raises:
        ImportError: safetensors is not installed.
        OSError: the file cannot be read.
    """
    if isinstance(model, str | PathLike):
        with Path(model).open("rb") as file:
            yield file, Path(model).name
        return
    try:
        from safetensors.torch import save
    except ModuleNotFoundError as error:
        raise ImportError("the weights of a module need the package safetensors: pip install safetensors") from error
    state = model.state_dict() if hasattr(model, "state_dict") else model
    # Clones, since safetensors refuses tensors that share memory
    tensors = {
        name: value.detach().cpu().contiguous().clone() for name, value in state.items() if hasattr(value, "detach")
    }
    yield io.BytesIO(save(tensors)), "model.safetensors"
