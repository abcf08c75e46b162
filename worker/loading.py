"""Exported models from files, and models of a server's runs, for notebooks and scripts."""

from __future__ import annotations

import lzma
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Protocol

import torch
from pydantic import ValidationError

from densitylab.backend.shared.contracts import ModelConfig, violations
from densitylab.worker import exported_model
from densitylab.worker.exported_model import UnusableModel
from densitylab.worker.training import checkpoints

CONFIG, WEIGHTS = "config.json", "model.safetensors"
_CONFIG_BYTES = 2**24  # of a network with 100,000 named classes
_CHUNK = 2**20  # bytes of an archive's file that are unpacked at once
# What zipfile raises for archives that are damaged, or packed in a way that it does not know
_UNREADABLE = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    UnicodeDecodeError,
    lzma.LZMAError,
    zlib.error,
)


class Client(Protocol):
    """The methods of `densitylab.connect()` that loading needs."""

    def model_config(self, run: int) -> ModelConfig: ...
    def artifact(self, run: int, name: str) -> bytes: ...


def from_run(client: Client, run: int) -> torch.nn.Module:
    """Return the model of a server's run, with the weights of its checkpoint, in eval mode on the CPU.

    Raises:
        ApiError: there is no such run, it has no checkpoint yet, or its checkpoint is damaged.
        UnusableModel: the network can't be built here.
        CorruptCheckpoint: the file is damaged, or of another version of the network.
    """
    model = exported_model.build(client.model_config(run))
    try:
        checkpoints.load_weights(client.artifact(run, "checkpoint.pt"), model)
    except checkpoints.CorruptCheckpoint as error:
        raise checkpoints.CorruptCheckpoint(f"run {run} can't be loaded: {error}; launch it again") from error
    return model.eval()


def from_files(path: Path) -> torch.nn.Module:
    """Return an exported model in eval mode on the CPU.

    Args:
        path: a folder with config.json and model.safetensors, one of these two files, or a zip archive of the folder.

    Raises:
        UnusableModel: the files are damaged, do not fit each other, or the network can't be built here.
        FileNotFoundError: there is nothing at the path.
    """
    if path.is_file() and path.name in (CONFIG, WEIGHTS):
        path = path.parent
    if path.is_dir():
        return _from_folder(path)
    if not path.exists():
        raise FileNotFoundError(
            f"there is no file or folder {str(path)!r}; expected the folder or the zip archive of an exported model, "
            "the address of a run, or a run's number as an int"
        )
    if not zipfile.is_zipfile(path):
        raise UnusableModel(
            f"{path.name} is no exported model; expected a folder with {CONFIG} and {WEIGHTS}, or a zip archive of it"
        )
    try:
        archive = zipfile.ZipFile(path)
    except _UNREADABLE as error:
        raise _unreadable(path.name, error) from error
    with archive:
        return _from_archive(archive, path.name)


def _from_folder(folder: Path) -> torch.nn.Module:
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise UnusableModel(f"the folder {folder} has no {name}: it is no exported model, or it is incomplete")
    with (folder / CONFIG).open("rb") as file:
        content = file.read(_CONFIG_BYTES + 1)
    return exported_model.read(_config(content), folder / WEIGHTS)


def _from_archive(archive: zipfile.ZipFile, name: str) -> torch.nn.Module:
    """Return the model of an archive. Only the two files are read, whatever names the others have."""
    files = [(PurePosixPath(info.filename), info) for info in archive.infolist() if not info.is_dir()]
    configs = [(path, info) for path, info in files if path.name == CONFIG]
    if len(configs) != 1:
        raise UnusableModel(f"the archive has {len(configs)} files {CONFIG}; expected one")
    ((place, about),) = configs
    weights = [info for path, info in files if path == place.with_name(WEIGHTS)]
    if len(weights) != 1:
        what = f"{len(weights)} files" if weights else "no"
        raise UnusableModel(f"the archive has {what} {WEIGHTS} beside its {CONFIG}")
    config = _config(b"".join(islice(_chunks(archive, about, name), _CONFIG_BYTES // _CHUNK + 1)))
    if weights[0].file_size > exported_model.largest_file(exported_model.shapes(config)):
        raise UnusableModel(f"{WEIGHTS} is larger than the network of {CONFIG} can be")
    with tempfile.TemporaryDirectory(prefix="densitylab-") as temporary:
        copy = Path(temporary) / WEIGHTS
        with copy.open("wb") as target:
            target.writelines(_chunks(archive, weights[0], name))  # at most the size that the archive states
        return exported_model.read(config, copy)


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Iterator[bytes]:
    """Yield the content of a file in the archive of this name. Raises UnusableModel."""
    try:
        with archive.open(info) as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except _UNREADABLE as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> UnusableModel:
    return UnusableModel(f"the archive {name} can't be read: {str(error) or 'it is damaged'}")


def _config(content: bytes) -> ModelConfig:
    """Return the checked content of config.json. Raises UnusableModel."""
    if len(content) > _CONFIG_BYTES:
        raise UnusableModel(f"{CONFIG} has more than {_CONFIG_BYTES // 2**20} MiB: it is not that of an exported model")
    try:
        config = ModelConfig.model_validate_json(content)
    except ValidationError as error:
        first, *_ = violations(error)
        raise UnusableModel(f"{CONFIG}, {first.pointer or 'the whole file'}: {first.detail}") from None
    if config.format_version > 1:
        raise UnusableModel(
            f"{CONFIG} has version {config.format_version} of the layout, and this DensityLab knows version 1: it was "
            f"written by DensityLab {config.densitylab_version}; install that version or a later one"
        )
    return config
