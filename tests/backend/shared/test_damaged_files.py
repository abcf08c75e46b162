"""Stored files that changed on the disk: found by the checksum in their name."""

import errno
import io
import re

import numpy as np
import pytest

from densitylab.backend.shared import npz
from densitylab.backend.shared.artifacts import ArtifactStore, DamagedFile, checked_location, checksum
from tests.flips import flipped


@pytest.fixture
def store(tmp_path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "artifacts"))


def content(compressed: bool) -> bytes:
    file = io.BytesIO()
    chance = np.random.default_rng(0)
    arrays = {"images": chance.integers(0, 9, (20, 1, 28, 28), np.uint8), "labels": np.arange(20)}
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def test_a_location_names_its_checksum():
    location = checked_location("runs/7/checkpoints/2-540.pt", b"weights")
    assert re.fullmatch(r"runs/7/checkpoints/2-540\.sha256-[0-9a-f]{64}\.pt", location)
    assert checksum(location) == location.split("-")[-1].split(".")[0]
    assert checksum("runs/7/checkpoints/2-540.pt") is None
    assert checksum("runs/sha256-0/2-540.pt") is None


@pytest.mark.parametrize("count", [200, pytest.param(3000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("compressed", [True, False])
def test_every_flip_cut_and_addition_is_found(store, count, compressed):
    whole = content(compressed)
    location = checked_location("attributions/1-1.npz", whole)
    store.write(location, whole)
    assert store.read(location) == whole and npz.intact(store, location)
    for damaged in [*flipped(whole, count), b"", whole[:-1], whole + b"0", bytes(len(whole))]:
        store.write(location, damaged)
        with pytest.raises(DamagedFile, match="does not agree with its checksum"):
            store.read(location)
    assert not npz.intact(store, location)


@pytest.mark.parametrize("count", [200, pytest.param(3000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("compressed", [True, False])
def test_without_a_checksum_a_flip_gives_the_arrays_or_a_sentence(store, count, compressed):
    whole = content(compressed)
    expected, refused = npz.read_arrays(whole), 0
    for damaged in [*flipped(whole, count), b"", whole[:-1], whole[: len(whole) // 2], b"text"]:
        try:
            arrays = npz.read_arrays(damaged)
        except DamagedFile as error:
            refused += 1
            assert str(error) == "the file is no NPZ, or it is damaged"
        else:
            for name in arrays.keys() & expected.keys():
                np.testing.assert_array_equal(arrays[name], expected[name])
    assert refused > count / 2


def test_a_file_that_the_disk_cannot_read_is_damaged(store, monkeypatch):
    store.write("runs/1/a.npz", b"x")

    def bad_sector(_path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(store._fs, "cat_file", bad_sector)
    with pytest.raises(DamagedFile, match="the disk cannot read the file"):
        store.read("runs/1/a.npz")
