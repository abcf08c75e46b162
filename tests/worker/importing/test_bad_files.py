"""Files that are no model, or a dangerous one: a sentence each, and nothing in them is executed."""

import argparse
import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from densitylab.worker.importing import parts, reading, weights
from densitylab.worker.importing.errors import BadModelFile
from densitylab.worker.importing.fitting import best_fit, problem


def torch_file(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def tensor(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def zipped(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def torch_script() -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), file)
    return file.getvalue()


def exported_program() -> bytes:
    file = io.BytesIO()
    torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),)), file)
    return file.getvalue()


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("pickle"))
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, weight=np.zeros(3))
    return file.getvalue()


WEIGHTS = {"conv.weight": torch.ones(4, 3, 3, 3), "fc.weight": torch.ones(10, 4)}
F32 = 4
OTHER_KINDS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "empty"),
    "html": (lambda: b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "web page (HTML)"),
    "lfs pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS pointer"),
    "json": (lambda: b'{"model": "resnet18"}', "JSON text"),
    "text": (lambda: b"Zugriff verweigert\n", "text, not the weights"),
    "numpy": (npy, "NumPy array"),
    "numpy archive": (npz, "NumPy archive"),
    "keras": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
    "gzip": (lambda: gzip.compress(torch_file(WEIGHTS)), "compressed by gzip"),
    "tar": (tar, "tar archive"),
    "zip": (lambda: zipped({"readme.txt": b"hello"}), "zip archive without a PyTorch checkpoint"),
    "torchscript": (torch_script, "TorchScript program"),
    "export": (exported_program, "torch.export program"),
    "plain pickle": (lambda: pickle.dumps({"a": 1}, protocol=4), "Python pickle"),
    "rubbish": (lambda: bytes(range(1, 200)) * 9, "neither safetensors nor a PyTorch checkpoint"),
    "cut off": (lambda: torch_file(WEIGHTS)[:-200], "damaged or cut off"),
    "cut off, old format": (
        lambda: torch_file(WEIGHTS, _use_new_zipfile_serialization=False)[:-40],
        "damaged or cut off",
    ),
    "zip bomb": (
        lambda: zipped({"a/data.pkl": b"\x80\x02.", "a/data/0": bytes(10**6)}, zipfile.ZIP_DEFLATED),
        "unpacks to more than its own size",
    ),
    "whole module": (lambda: torch_file(torch.nn.Linear(2, 2)), "objects of torch.nn.modules.linear.Linear"),
    "expanded tensor": (lambda: torch_file({"a": torch.ones(1).expand(10**9)}), "larger than its values"),
    "meta tensor": (lambda: torch_file({"a": torch.empty(10**6, 10**6, device="meta")}), "without values"),
    "sparse tensor": (lambda: torch_file({"a": torch.eye(3).to_sparse()}), "sparse"),
    "a tensor alone": (lambda: torch_file(torch.ones(3)), "a single tensor"),
    "nothing named": (lambda: torch_file({"epoch": 3}), "no weights"),
    "optimizer only": (
        lambda: torch_file({"optimizer": torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]).state_dict()}),
        "an optimizer alone",
    ),
    "header beyond the file": (lambda: safetensors({}, length=10**9), "header claims"),
    "header of 200 TB": (lambda: safetensors({}, length=2 * 10**14), "neither safetensors"),
    "header is no json": (lambda: safetensors(b"{broken"), "can't be read"),
    "header nests deeply": (lambda: safetensors(b'{"a":' * 50_000 + b"1"), "can't be read"),
    "header without fields": (lambda: safetensors({"a": {"shape": [1]}}), "does not describe the tensor 'a'"),
    "name twice": (
        lambda: safetensors(b'{"a":%b,"a":%b}' % ((json.dumps(tensor([1], 0, 4)).encode(),) * 2), bytes(4)),
        "a name occurs twice",
    ),
    "offsets beyond the end": (lambda: safetensors({"a": tensor([4], 0, 16)}, bytes(8)), "beyond the file's end"),
    "bytes left out": (lambda: safetensors({"a": tensor([1], 0, 4)}, bytes(8)), "leaves some out"),
    "overlapping": (
        lambda: safetensors({"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}, bytes(12)),
        "lets tensors overlap",
    ),
    "negative shape": (lambda: safetensors({"a": tensor([-1, -1], 0, 4)}, bytes(4)), "below 0"),
    "negative offset": (lambda: safetensors({"a": tensor([1], -4, 0)}, bytes(4)), "below 0"),
    "number as a truth value": (lambda: safetensors({"a": tensor([True], 0, 4)}, bytes(4)), "below 0"),
    "huge shape": (lambda: safetensors({"a": tensor([10**9, 10**9], 0, 4)}, bytes(4)), "not that of its bytes"),
    "type that is a list": (lambda: safetensors({"a": tensor([1], 0, 4, ["F32"])}, bytes(4)), "has the type"),  # type: ignore[arg-type]
    "unknown type": (lambda: safetensors({"a": tensor([1], 0, 4, "Q17")}, bytes(4)), "has the type 'Q17'"),
}


@pytest.mark.parametrize("name", OTHER_KINDS)
def test_a_file_that_is_no_model_is_named(name: str, tmp_path: Path):
    make, sentence = OTHER_KINDS[name]
    path = tmp_path / "model"
    path.write_bytes(make())
    with pytest.raises(BadModelFile) as refused:
        parts.parts(reading.read(path).value)
    message = str(refused.value)
    assert sentence in message and message.endswith(".") and len(message) < 400 and "\n" not in message
    assert os.listdir(tmp_path) == ["model"]


class _Writes:
    """An object whose unpickling writes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._path}",)


@pytest.mark.parametrize("form", ["zip", "old", "plain", "nested in weights"])
def test_a_pickle_that_would_write_a_file_writes_none(form: str, tmp_path: Path):
    trace, path = tmp_path / "trace", tmp_path / "model.pt"
    evil = _Writes(trace)
    if form == "plain":
        path.write_bytes(pickle.dumps(evil))
    elif form == "nested in weights":
        torch.save({"state_dict": WEIGHTS, "hyper_parameters": {"hook": evil}}, path)
    else:
        torch.save(evil, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(BadModelFile, match="run code"):
        reading.read(path)
    assert not trace.exists()
    pickle.loads(pickle.dumps(evil))  # it does write, where pickle reads it
    assert trace.exists()


def test_what_needs_far_more_memory_than_its_size_is_refused(tmp_path: Path):
    class Big:
        def __reduce__(self) -> Any:
            return bytearray, (2**38,)

    path = tmp_path / "big.pt"
    torch.save({"a": Big()}, path)
    with pytest.raises(BadModelFile, match="far more memory"):
        reading.read(path)


def test_plain_records_of_training_scripts_are_read(tmp_path: Path):
    path = tmp_path / "script.pth"
    record = {"net": WEIGHTS, "acc": np.float64(93.1), "epoch": np.int64(7), "args": argparse.Namespace(lr=0.1)}
    torch.save(record, path)
    read = reading.read(path).value
    assert read["acc"] == 93.1 and read["args"].lr == 0.1
    assert parts.other_entries(read) == {"acc": "93.1", "epoch": "7"}


NUMBERS: dict[str, tuple[torch.Tensor, str]] = {
    "nan": (torch.tensor([[1.0, float("nan")]]), "1 values that are NaN or infinite"),
    "infinite in half precision": (torch.tensor([[float("inf")]]).half(), "NaN or infinite"),
    "quantised": (torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8), "quantised"),
    "int8": (torch.ones(4, 4, dtype=torch.int8), "quantised"),
    "complex": (torch.ones(2, 2, dtype=torch.complex64), "complex"),
    "bits": (torch.empty(4, 4, dtype=torch.bits8), "the type bits8, which can't be imported"),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_that_are_no_weights_are_refused(name: str, tmp_path: Path):
    value, sentence = NUMBERS[name]
    path = tmp_path / "model.pt"
    torch.save({"layer.weight": value}, path)
    (part,) = parts.parts(reading.read(path).value)
    with pytest.raises(BadModelFile, match=sentence):
        weights.require_numbers(part.tensors.items())


def network(channels: int = 3, outputs: int = 10, width: int = 8) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(channels, width, 3), torch.nn.Flatten(), torch.nn.Linear(width, outputs))


@pytest.mark.parametrize(
    ("other", "sentences"),
    [
        (network(outputs=100), ["has 100 outputs, not 10", "give outputs 100", "2.weight (100×8, expected 10×8)"]),
        (network(channels=1), ["images of 1 channel, and the data set has 3 channels"]),
        (torch.nn.Sequential(torch.nn.BatchNorm1d(3)), ["of another network", "missing in the file"]),
        (
            torch.nn.Sequential(*(torch.nn.Linear(3, 3) for _ in range(30))),
            ["of another network", "and 53 more", "2.weight (3×3, expected 10×8)"],
        ),
    ],
)
def test_weights_of_another_network_are_told_apart(other: torch.nn.Module, sentences: list[str]):
    shapes = {name: tuple(value.shape) for name, value in network().state_dict().items()}
    fit = best_fit([parts.Part("", other.state_dict())], shapes)
    told = problem(fit, "the network", channels=3, outputs=10)
    assert told is not None and all(sentence in told for sentence in sentences), told
    assert len(told) < 5000


def test_a_part_that_is_asked_for_has_to_be_there():
    value = {"student": {"a.weight": torch.ones(2)}, "x": {"teacher.a.weight": torch.zeros(2), "b": torch.ones(1)}}
    assert [part.key for part in parts.chosen(value, None)] == ["student", "x"]
    (teacher,) = parts.chosen(value, "teacher")
    assert list(teacher.tensors) == ["teacher.a.weight"]
    with pytest.raises(BadModelFile, match="no weights under 'ema'; it has them under: student, x"):
        parts.chosen(value, "ema")
