"""The compact form: whole or not at all, and quick to open."""

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from worker.datasets import compact
from worker.datasets.compact import Part
from worker.stopped import Stopped

SHAPE = (3, 8, 8)


def parts(count=1200, arrays=None):
    rng = np.random.default_rng(0)
    return {
        split: Part(np.arange(count) % 4, compact.blocks_of(rng.integers(0, 256, (count, *SHAPE), dtype=np.uint8),
                                                            np.arange(count)), arrays or {})
        for split in compact.SPLITS
    }


def pack(root, made=None, *, progress=lambda share: None, should_stop=lambda: False, num_groups=0):
    return compact.pack(root, made or parts(), shape=SHAPE, num_classes=4, num_groups=num_groups, progress=progress,
                        should_stop=should_stop)


def test_what_was_stored_comes_back(tmp_path):
    masks = np.random.default_rng(1).random((1200, 8, 8)) < 0.5
    arrays = {"groups": np.arange(1200) % 3, "masks": compact.packed_masks(masks)}
    info = pack(tmp_path / "a", parts(arrays=arrays), num_groups=3)
    data = compact.load(tmp_path / "a", "train")
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
    with pytest.raises(Stopped):
        pack(tmp_path / "b", should_stop=lambda: next(answers))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failure_midway_leaves_nothing(tmp_path):
    def broken():
        yield np.zeros((4, *SHAPE), np.uint8)
        raise ValueError("image 5 can't be read")

    with pytest.raises(ValueError, match="image 5"):
        pack(tmp_path / "a", {"train": Part(np.zeros(8, np.int64), broken())})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(compact.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2**10))
    with pytest.raises(ValueError, match=r"The disk of .* is full: 1 MiB are needed and 0 MiB free\. Free some space"):
        pack(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_two_processes_prepare_at_once(tmp_path):
    code = (
        "import sys; from pathlib import Path; from worker.datasets.blockmnist import prepare; "
        "prepare(Path(sys.argv[1]), progress=lambda fraction: None, should_stop=lambda: False)"
    )
    repository = Path(__file__).parents[2]
    workers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a")], cwd=repository) for _ in range(2)]
    assert [worker.wait(120) for worker in workers] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert compact.load(tmp_path / "a", "train").images.shape == (3600, 1, 56, 28)


def test_what_a_killed_preparation_left_is_cleared_and_a_living_one_is_left_alone(tmp_path):
    (tmp_path / ".a.dead" / "train").mkdir(parents=True)
    living = iter(parts()["train"].images)

    def meanwhile():
        yield next(living)
        pack(tmp_path / "a")
        yield from living

    first = pack(tmp_path / "a", parts() | {"train": Part(np.arange(1200) % 4, meanwhile())})
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert first == compact.read_info(tmp_path / "a")


def test_opening_reads_no_images(tmp_path):
    pack(tmp_path / "a")
    start = time.perf_counter()
    data = compact.load(tmp_path / "a", "train")
    assert time.perf_counter() - start < 1
    data.images[0] = 0  # a copy of the page: the file keeps what it has
    assert compact.load(tmp_path / "a", "train").images[0].any()
