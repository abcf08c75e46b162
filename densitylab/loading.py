"""`densitylab.load_model`: one function for exported models in files and for models of runs."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from densitylab.extras import required
from densitylab.worker import loading

if TYPE_CHECKING:
    import torch

_RUN = re.compile(r"(https?://.+?)/api/v1/runs/([0-9]{1,10})(?:/(?:export\.zip|config\.json)?)?")


def load_model(
    source: str | PathLike[str] | int | loading.Client, client: loading.Client | int | None = None
) -> torch.nn.Module:
    """Return a model in eval mode on the CPU. No code of a file is run.

    Files need torch beside the package; runs also need the extra `client`.

    Args:
        source: the folder of an exported model, its zip archive, the address of a run in an API, such as
            "http://127.0.0.1:8000/api/v1/runs/7", or a run's number.
        client: from `densitylab.connect()`, which is the default, for a run's number. `load_model(client, 7)` is the
            same as `load_model(7, client)`.

    Returns:
        A module: images (N, C, H, W) in [0, 1] -> logits (N, K). It normalises by itself.

    Raises:
        UnusableModel: the files are damaged, do not fit each other, or the network can't be built here.
        FileNotFoundError: there is nothing at the path.
        ApiError: there is no such run, it has no checkpoint yet, or its checkpoint is damaged.
        CorruptCheckpoint: the run's checkpoint is damaged.
    """
    if isinstance(client, int):
        source, client = client, source  # type: ignore[assignment]
    if isinstance(source, int):
        if client is not None:
            return loading.from_run(client, source)  # type: ignore[arg-type]
        return _from_server(None, source)
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        address = _RUN.fullmatch(source)
        if address is None:
            raise ValueError(
                f"expected the address of a run, such as http://127.0.0.1:8000/api/v1/runs/7; got {source!r}"
            )
        return _from_server(address[1], int(address[2]))
    return loading.from_files(Path(source))  # type: ignore[arg-type]


def _from_server(url: str | None, run: int) -> torch.nn.Module:
    with required("load_model of a run", "client"):
        from densitylab.frontend.client import connect
    with connect(url) as client:
        return loading.from_run(client, run)
