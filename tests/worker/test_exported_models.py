"""Folders and archives of exported models from strangers: each that cannot be loaded is refused in a sentence."""

import hashlib
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from densitylab.backend.shared.contracts import Component, ModelConfig
from densitylab.worker import exported_model, loading
from densitylab.worker.export_formats import safetensors_file
from densitylab.worker.exported_model import UnusableModel

GIANT = 10 * 2**30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An exported MLP of two layers."""
    config = ModelConfig(
        densitylab_version="0",
        run=1,
        spec_hash="",
        model=Component(key="mlp", params={"hidden": 8, "layers": 1}),
        channels=1,
        image_size=[4, 4],
        num_classes=3,
        mean=[0.5],
        std=[0.2],
    )
    target = tmp_path / "run-1"
    target.mkdir()
    safetensors_file.write(exported_model.build(config).eval(), torch.rand(2, 1, 4, 4), target / "model.safetensors")
    (target / "config.json").write_text(config.model_dump_json())
    return target


def change(folder: Path, **fields: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))


def zipped(folder: Path, names: dict[str, str] | None = None, method: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder.parent / "model.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in folder.iterdir():
            archive.write(file, (names or {}).get(file.name, f"run-1/{file.name}"))
    return path


def with_header(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change the header of the weights, and leave what follows."""
    content = (folder / "model.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    edit(header)
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])


def test_a_folder_an_archive_and_one_of_the_files_give_the_same(folder: Path):
    x = torch.rand(2, 1, 4, 4)
    state = torch.random.get_rng_state()
    expected = loading.from_files(folder)(x)
    assert torch.equal(torch.random.get_rng_state(), state)
    for path in (folder / "config.json", folder / "model.safetensors", zipped(folder)):
        model = loading.from_files(path)
        assert not model.training and torch.equal(model(x), expected)


def test_a_link_as_in_a_cache_of_downloads_is_followed(folder: Path):
    (folder / "model.safetensors").rename(folder.parent / "blob")
    (folder / "model.safetensors").symlink_to(folder.parent / "blob")
    assert loading.from_files(folder)(torch.rand(1, 1, 4, 4)).shape == (1, 3)


CONFIGS: list[tuple[dict[str, Any], str]] = [
    ({"model": {"key": "mpl"}}, "/model/key: unknown model 'mpl'; .* did you mean mlp?"),
    ({"model": {"key": "mlp", "params": {"hidden": 10**9}}}, "/model/params/hidden: expected .* 8192, got 1000000000"),
    ({"model": {"key": "mlp", "params": {"depth": 3}}}, "/model/params/depth: mlp has no parameter 'depth'"),
    ({"model": {"key": "../mlp"}}, "/model/key: "),
    ({"layers": 3}, "/layers: "),
    ({"image_size": [10**6, 10**6]}, "/image_size: expected two sides of 1 to 4096 pixels"),
    ({"image_size": [4096, 4096]}, r"it has 1\.1\.weight 8×16 instead of 8×16777216"),
    ({"channels": 10**6}, "/channels: "),
    ({"num_classes": 100_000}, r"it has 1\.3\.weight 3×8 instead of 100000×8"),
    ({"channels": 3}, r"it has 1\.1\.weight 8×16 instead of 8×48|can't be built"),
    ({"std": [0.0]}, "std above 0"),
    ({"mean": [0.1, 0.2]}, "one mean and one std"),
    ({"format": "keras"}, "/format: "),
    ({"format_version": 2}, "has version 2 of the layout"),
    ({"weights_sha256": "0" * 64}, "does not agree with the SHA-256"),
    ({"plugin": {"package": "nets", "version": "1"}}, "is here of DensityLab itself, and the exported model's of nets"),
    (
        {"model": {"key": "secret_net"}, "plugin": {"package": "nets", "version": "1.2"}},
        "is of the plug-in nets 1.2, which is not installed here: install that package if you trust it",
    ),
    ({"plugin": {"package": "nets; rm -rf /", "version": "1"}}, "/plugin/package: "),
]


@pytest.mark.parametrize(("fields", "sentence"), CONFIGS)
def test_a_config_that_lies(folder: Path, fields: dict[str, Any], sentence: str):
    change(folder, **fields)
    for path in (folder, zipped(folder)):
        with pytest.raises(UnusableModel, match=sentence):
            loading.from_files(path)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"{" * 100_000, b"<!doctype html>", b"null"])
def test_a_config_that_is_none(folder: Path, content: bytes):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(UnusableModel, match=r"^config\.json, "):
        loading.from_files(folder)


def _beyond(header: dict[str, Any]) -> None:
    header["1.1.weight"] = {"dtype": "F32", "shape": [GIANT // 4], "data_offsets": [0, GIANT]}


def _overlapping(header: dict[str, Any]) -> None:
    header["1.1.weight"]["data_offsets"] = header["1.3.weight"]["data_offsets"]


def _negative(header: dict[str, Any]) -> None:
    header["1.1.weight"]["shape"] = [-8, -16]


def _wrong_shape(header: dict[str, Any]) -> None:
    header["1.1.weight"]["shape"] = [16, 8]


def _unexpected(header: dict[str, Any]) -> None:
    header["1.9.weight"] = header.pop("1.3.weight")


HEADERS = [
    (_beyond, "is damaged or not a safetensors file"),
    (_overlapping, "is damaged or not a safetensors file"),
    (_negative, "is damaged or not a safetensors file"),
    (_wrong_shape, r"it has 1\.1\.weight 16×8 instead of 8×16"),
    (_unexpected, r"it lacks 1\.3\.weight"),
]


@pytest.mark.parametrize(("edit", "sentence"), HEADERS, ids=lambda item: getattr(item, "__name__", ""))
def test_a_header_that_lies(folder: Path, edit: Callable[[dict[str, Any]], None], sentence: str):
    with_header(folder, edit)
    for path in (folder, zipped(folder)):
        with pytest.raises(UnusableModel, match=sentence):
            loading.from_files(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 7, (2**63).to_bytes(8, "little"), (10**9).to_bytes(8, "little") + b"{}", b"<!doctype html>" * 9],
)
def test_weights_that_are_none(folder: Path, content: bytes):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(UnusableModel, match="is damaged or not a safetensors file"):
        loading.from_files(folder)


def test_weights_of_ten_gigabytes_are_not_read(folder: Path):
    os.truncate(folder / "model.safetensors", GIANT)  # takes no space on the disk
    with pytest.raises(UnusableModel, match=r"larger than the network of config\.json can be"):
        loading.from_files(folder)


def test_an_archive_that_grows_to_gigabytes_is_not_unpacked(folder: Path):
    path = folder.parent / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "config.json", "run-1/config.json")
        with archive.open("run-1/model.safetensors", "w", force_zip64=True) as file:
            for _ in range(64):
                file.write(bytes(2**20))
    with pytest.raises(UnusableModel, match=r"larger than the network of config\.json can be"):
        loading.from_files(path)


def test_an_archive_with_names_outside_of_it_writes_nothing_there(folder: Path, tmp_path: Path):
    names = {"config.json": "../../config.json", "model.safetensors": "../../model.safetensors"}
    path = zipped(folder, names)
    before = {file: file.lstat().st_mtime_ns for file in tmp_path.parent.rglob("*")}
    loading.from_files(path)  # only their content is read
    assert {file: file.lstat().st_mtime_ns for file in tmp_path.parent.rglob("*")} == before


@pytest.mark.parametrize("place", ["", "./", "a//", "a/./b/"])
def test_an_archive_with_names_that_are_spelled_in_another_way(folder: Path, place: str):
    path = zipped(folder, {name: place + name for name in ("config.json", "model.safetensors")})
    assert not loading.from_files(path).training


def test_two_weights_of_one_name_are_refused(folder: Path):
    path = zipped(folder)
    with zipfile.ZipFile(path, "a") as archive:
        archive.write(folder / "model.safetensors", "run-1//model.safetensors")
    with pytest.raises(UnusableModel, match=r"has 2 files model\.safetensors beside its config\.json"):
        loading.from_files(path)


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


@pytest.mark.parametrize("method", METHODS)
def test_an_archive_with_damaged_bytes_is_refused_in_a_sentence(folder: Path, method: int):
    path = zipped(folder, method=method)
    content = path.read_bytes()
    random = Random(method)
    refused = 0
    for _ in range(100):
        at = random.randrange(len(content))
        damaged = bytes([content[at] ^ random.randrange(1, 256)])
        path.write_bytes(content[:at] + damaged + content[at + 1 :])
        try:
            loading.from_files(path)
        except UnusableModel as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 50


@pytest.mark.parametrize("method", METHODS[1:])
def test_packed_data_that_is_none_is_refused_in_a_sentence(folder: Path, method: int):
    path = zipped(folder, method=method)
    with zipfile.ZipFile(path) as archive:
        offsets = [info.header_offset + 30 + len(info.filename) for info in archive.infolist()]
    content = bytearray(path.read_bytes())
    for offset in offsets:
        content[offset : offset + 40] = b"\xff" * 40
    path.write_bytes(content)
    with pytest.raises(UnusableModel, match=r"the archive model\.zip can't be read: \S"):
        loading.from_files(path)


def test_archives_without_a_model(folder: Path, tmp_path: Path):
    content = zipped(folder).read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[: len(content) // 2])
    middle = len(content) // 2
    (tmp_path / "flipped.zip").write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])
    for name in ("cut.zip", "flipped.zip"):
        with pytest.raises(UnusableModel):
            loading.from_files(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for name in ("a/config.json", "b/config.json"):
            archive.writestr(name, "{}")
    with pytest.raises(UnusableModel, match=r"has 2 files config\.json; expected one"):
        loading.from_files(tmp_path / "two.zip")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UnusableModel, match=r"has no model\.safetensors"):
        loading.from_files(folder)
    with pytest.raises(UnusableModel, match=r"has no model\.safetensors beside its config\.json"):
        loading.from_files(zipped(folder))
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        loading.from_files(tmp_path / "nothing")


def test_a_pickle_is_not_opened(folder: Path, tmp_path: Path):
    class Writes:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "written",))

    content = pickle.dumps(Writes())
    for name in ("model.safetensors", "checkpoint.pt", "model.pt2"):
        (folder / name).write_bytes(content)
    (tmp_path / "model.pt").write_bytes(content)
    for path in (folder, zipped(folder), tmp_path / "model.pt"):
        with pytest.raises(UnusableModel):
            loading.from_files(path)
    assert not (tmp_path / "written").exists()


def test_half_precision_is_loaded_and_integers_are_not_mistaken(folder: Path):
    state = load_file(folder / "model.safetensors")
    save_file({name: value.half() for name, value in state.items()}, folder / "model.safetensors")
    change(folder, weights_sha256=hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest())
    model = loading.from_files(folder)
    assert all(value.dtype == torch.float32 for value in model.state_dict().values())


@pytest.mark.parametrize(
    ("change_weights", "sentence"),
    [
        (lambda tensor: tensor.to(torch.complex64), "are complex numbers"),
        (lambda tensor: tensor.to(torch.int8), "int8"),
        (lambda tensor: tensor.to(torch.int64), "are of type int64, and the network's of type float32"),
        (lambda tensor: tensor * float("nan"), "are NaN or infinite"),
    ],
)
def test_numbers_that_are_no_weights_are_refused(folder: Path, change_weights: Any, sentence: str):
    path = folder / "model.safetensors"
    save_file({name: change_weights(tensor) for name, tensor in load_file(path).items()}, path)
    with pytest.raises(UnusableModel, match=sentence):
        loading.from_files(folder)
