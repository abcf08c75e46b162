"""The .npy store: complete or absent, and quick to open."""

import errno
import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from densitylab.worker.datasets import npy_store
from densitylab.worker.datasets.npy_store import DamagedData, Part
from densitylab.worker.errors import Interrupted
from tests.flips import flipped

SHAPE = (3, 8, 8)


def parts(count=1200, arrays=None):
    rng = np.random.default_rng(0)
    return {
        split: Part(
            np.arange(count) % 4,
            npy_store.blocks_of(rng.integers(0, 256, (count, *SHAPE), dtype=np.uint8), np.arange(count)),
            arrays or {},
        )
        for split in npy_store.SPLITS
    }


def pack(root, made=None, *, progress=lambda share: None, should_stop=lambda: False, num_groups=0):
    return npy_store.pack(
        root,
        made or parts(),
        shape=SHAPE,
        num_classes=4,
        num_groups=num_groups,
        progress=progress,
        should_stop=should_stop,
    )


def test_stored_arrays_are_loaded_unchanged(tmp_path):
    masks = np.random.default_rng(1).random((1200, 8, 8)) < 0.5
    arrays = {"groups": np.arange(1200) % 3, "masks": npy_store.packed_masks(masks)}
    info = pack(tmp_path / "a", parts(arrays=arrays), num_groups=3)
    data = npy_store.load(tmp_path / "a", "train")
    assert np.array_equal(data.images.numpy(), np.concatenate(list(parts()["train"].images)))
    assert torch.equal(data.masks[:, 0], torch.from_numpy(masks)) and data.masks.dtype == torch.bool
    assert data.groups.tolist() == (np.arange(1200) % 3).tolist() and data.groups.dtype == torch.int64
    assert info.group_counts["test"] == [400, 400, 400] and info.class_counts["test"] == [300] * 4
    x = data.images.double() / 255
    assert info.mean == pytest.approx(x.mean((0, 2, 3)).tolist())
    assert info.std == pytest.approx(x.std((0, 2, 3), correction=0).tolist())


def test_progress_rises_and_a_stop_leaves_nothing(tmp_path):
    shares = []
    pack(tmp_path / "a", progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) == 9
    answers = iter([False, False, False, False, True])
    with pytest.raises(Interrupted):
        pack(tmp_path / "b", should_stop=lambda: next(answers))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failure_midway_leaves_nothing(tmp_path):
    def broken():
        yield np.zeros((4, *SHAPE), np.uint8)
        raise ValueError("image 5 can't be read")

    with pytest.raises(ValueError, match="image 5"):
        pack(tmp_path / "a", {"train": Part(np.zeros(8, np.int64), broken())})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(npy_store.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**10, total=2**30))
    with pytest.raises(OSError, match="1 MiB are needed, 0 MiB are free") as full:
        pack(tmp_path / "a")
    assert full.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_too_small_is_another_error_since_waiting_would_not_help(tmp_path, monkeypatch):
    monkeypatch.setattr(npy_store.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**10, total=2**12))
    with pytest.raises(ValueError, match=r"The disk is too small: 1 MiB are needed, and it has 0 MiB\."):
        pack(tmp_path / "a")


def test_two_processes_prepare_at_once(tmp_path):
    code = (
        "import sys; from pathlib import Path; from densitylab.worker.datasets.blockmnist import prepare; "
        "prepare(Path(sys.argv[1]), progress=lambda fraction: None, should_stop=lambda: False)"
    )
    repository = Path(__file__).parents[3]
    workers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a")], cwd=repository) for _ in range(2)]
    assert [worker.wait(120) for worker in workers] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert npy_store.load(tmp_path / "a", "train").images.shape == (3600, 1, 56, 28)


def test_files_of_a_killed_preparation_are_deleted_and_those_of_a_running_one_stay(tmp_path):
    (tmp_path / ".a.dead" / "train").mkdir(parents=True)
    living = iter(parts()["train"].images)

    def meanwhile():
        yield next(living)
        pack(tmp_path / "a")
        yield from living

    first = pack(tmp_path / "a", parts() | {"train": Part(np.arange(1200) % 4, meanwhile())})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert first == npy_store.read_info(tmp_path / "a")


def test_opening_reads_no_images(tmp_path):
    pack(tmp_path / "a")
    start = time.perf_counter()
    data = npy_store.load(tmp_path / "a", "train")
    assert time.perf_counter() - start < 1
    data.images[0] = 0  # copy on write: the file does not change
    assert npy_store.load(tmp_path / "a", "train").images[0].any()


def read_everything(root):
    return [npy_store.arrays(root, split) for split in npy_store.SPLITS]


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_flipped_bit_in_any_file_is_found_when_it_is_opened(tmp_path, count):
    root = tmp_path / "a"
    info = pack(root, parts(40))
    files = sorted(path for path in root.rglob("*") if path.is_file())
    assert {path.relative_to(root).as_posix() for path in files} == {*info.files, "manifest.json"}
    for file in files:
        whole = file.read_bytes()
        for damaged in [*flipped(whole, count), b"", whole[:-1]]:
            file.write_bytes(damaged)
            try:
                read_everything(root)
            except DamagedData as error:
                assert str(tmp_path) not in str(error)
            else:
                assert npy_store.read_info(root) == info, "only what has no meaning, such as a space, may differ"
        file.unlink()
        with pytest.raises((DamagedData, FileNotFoundError)):
            read_everything(root)
        file.write_bytes(whole)
        npy_store._sha256.cache_clear()  # rewritten within one tick of the clock of a file system
    read_everything(root)


def test_a_data_set_without_checksums_is_opened(tmp_path):
    root = tmp_path / "a"
    pack(root, parts(40))
    manifest = json.loads((root / "manifest.json").read_text())
    del manifest["files"], manifest["checksum"]
    (root / "manifest.json").write_text(json.dumps(manifest))
    read_everything(root)
    (root / "test" / "labels.npy").write_bytes(b"no array")
    with pytest.raises(DamagedData, match="arrays of the test split can't be read"):
        read_everything(root)


def test_a_data_set_that_cannot_be_replaced_is_put_back(tmp_path):
    root = tmp_path / "a"
    info = pack(root, parts(40))
    with pytest.raises(Interrupted), npy_store.replacing(root):
        pack(root, parts(40), should_stop=lambda: True)
    assert npy_store.read_info(root) == info and list(tmp_path.iterdir()) == [root]
    with npy_store.replacing(root):
        pack(root, parts(60))
    assert npy_store.read_info(root).sizes["train"] == 60 and list(tmp_path.iterdir()) == [root]
    with npy_store.replacing(tmp_path / "b"):
        pack(tmp_path / "b", parts(60))
    assert npy_store.read_info(tmp_path / "b").sizes["train"] == 60
