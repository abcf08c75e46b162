"""MNIST, CIFAR and SVHN from small files in their original formats and torchvision's folders.

The check sums are torchvision's. No test downloads anything: a small archive is rejected because its sum differs, is
accepted once the published sum is replaced by its own, and is accepted with check_sums off.
"""

import gzip
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision import datasets

from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.datasets import blockmnist_full, npy_store
from densitylab.worker.datasets.source import Source, Unavailable, md5_of
from densitylab.worker.resolve import load

TRAIN, TEST = 40, 20


def prepare(key, root, placed, **params):
    return load(Catalog.built_in().find("dataset", key))(
        root,
        Source(placed=placed, downloads=placed / "downloads"),
        **params,
        progress=lambda share: None,
        should_stop=lambda: False,
    )


def images(count, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def idx(array):
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def place_idx(root, kind="MNIST", *, packed=False):
    folder = root / kind / "raw"
    folder.mkdir(parents=True)
    content = {}
    for which, count in (("train", TRAIN), ("t10k", TEST)):
        content[which] = images(count, 28, 28, seed=count), np.arange(count, dtype=np.uint8) % 10
        for name, array in zip(("images-idx3", "labels-idx1"), content[which], strict=True):
            path = folder / f"{which}-{name}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    return content


def cifar_batches(kind):
    """{file name: batch} as the authors pickle them."""
    published = getattr(datasets, kind)
    key, classes = ("labels", 10) if kind == "CIFAR10" else ("fine_labels", 100)
    made = {}
    for number, (name, _) in enumerate([*published.train_list, *published.test_list]):
        count = 3 * classes
        made[name] = {"data": images(count, 3072, seed=number), key: [index % classes for index in range(count)]}
    return made


def place_cifar(root, kind="CIFAR10"):
    folder = root / getattr(datasets, kind).base_folder
    folder.mkdir(parents=True)
    batches = cifar_batches(kind)
    for name, batch in batches.items():
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return batches


def cifar_archive(path, kind="CIFAR10"):
    with tarfile.open(path, "w:gz") as tar:
        for name, batch in cifar_batches(kind).items():
            content = pickle.dumps(batch, protocol=2)
            member = tarfile.TarInfo(f"{getattr(datasets, kind).base_folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("key", "kind"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_idx_files_are_read_plain_and_packed(key, kind, packed, tmp_path):
    placed = place_idx(tmp_path, kind, packed=packed)
    info = prepare(key, tmp_path / "out", tmp_path, check_sums=False)
    assert info.sizes == {"train": 30, "validation": 10, "test": TEST}
    test = npy_store.load(tmp_path / "out", "test")
    assert torch.equal(test.images[:, 0], torch.from_numpy(placed["t10k"][0]))  # in the official order
    assert test.labels.tolist() == placed["t10k"][1].tolist()
    stored = [npy_store.load(tmp_path / "out", split).images for split in ("train", "validation")]
    assert sorted(image.numpy().tobytes() for image in torch.cat(stored)) == sorted(
        image.tobytes() for image in placed["train"][0]
    )


def test_torchvision_reads_the_same_images_from_the_same_files(tmp_path):
    place_idx(tmp_path)
    place_cifar(tmp_path)
    prepare("mnist", tmp_path / "mnist", tmp_path, check_sums=False)
    prepare("cifar10", tmp_path / "cifar10", tmp_path, check_sums=False)
    theirs = datasets.MNIST(tmp_path, train=False)
    assert torch.equal(npy_store.load(tmp_path / "mnist", "test").images[:, 0], theirs.data)
    reader = object.__new__(datasets.CIFAR10)  # its constructor would refuse the check sums
    batch = reader.test_list[0][0]
    content = pickle.loads((tmp_path / reader.base_folder / batch).read_bytes(), encoding="latin1")
    expected = torch.from_numpy(content["data"].reshape(-1, 3, 32, 32))
    assert torch.equal(npy_store.load(tmp_path / "cifar10", "test").images, expected)


@pytest.mark.parametrize(("key", "kind", "classes"), [("cifar10", "CIFAR10", 10), ("cifar100", "CIFAR100", 100)])
def test_pickled_batches_are_read_from_folder_and_archive_alike(key, kind, classes, tmp_path):
    place_cifar(tmp_path / "a", kind)
    cifar_archive(tmp_path / getattr(datasets, kind).filename, kind)
    unpacked = prepare(key, tmp_path / "x", tmp_path / "a", check_sums=False)
    packed = prepare(key, tmp_path / "y", tmp_path, check_sums=False)
    assert unpacked.data_hash == packed.data_hash
    train = npy_store.load(tmp_path / "x", "train")
    assert train.images.shape[1:] == (3, 32, 32) and train.labels.unique().tolist() == list(range(classes))


def test_svhn_stores_ten_for_the_digit_0(tmp_path):
    for split, count in (("train", TRAIN), ("test", TEST)):
        pixels = images(count, 32, 32, 3, seed=count).transpose(1, 2, 3, 0)
        savemat(tmp_path / f"{split}_32x32.mat", {"X": pixels, "y": np.arange(count)[:, None] % 10 + 1})
    prepare("svhn", tmp_path / "out", tmp_path, check_sums=False)
    test = npy_store.load(tmp_path / "out", "test")
    assert test.labels.tolist() == [(index % 10 + 1) % 10 for index in range(TEST)]
    assert torch.equal(test.images[3], torch.from_numpy(images(TEST, 32, 32, 3, seed=TEST)[3].transpose(2, 0, 1)))


def test_full_blockmnist_has_the_digits_of_mnist_and_masks(tmp_path):
    placed = place_idx(tmp_path)
    prepare("blockmnist_full", tmp_path / "out", tmp_path, check_sums=False)
    test = blockmnist_full.load(tmp_path / "out", "test")
    digits = test.images[~test.masks].view(TEST, 28, 28)
    assert torch.equal(digits, torch.from_numpy(placed["t10k"][0]))


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("mnist", "train-images-idx3-ubyte.gz"),
        ("cifar10", "cifar-10-python.tar.gz"),
        ("svhn", "train_32x32.mat"),
    ],
)
def test_a_file_that_differs_from_its_published_sum_is_refused_with_what_to_do(key, name, tmp_path):
    folder = tmp_path / "MNIST/raw" if key == "mnist" else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"other contents")
    said = rf"{name} does not have its published check sum .*Replace it, or .*check_sums off"
    with pytest.raises(Unavailable, match=said):
        prepare(key, tmp_path / "out", tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_file_with_its_published_sum_passes(tmp_path, monkeypatch):
    archive = tmp_path / datasets.CIFAR10.filename
    cifar_archive(archive)
    with pytest.raises(Unavailable, match="c58f30108f718f92721af3b95e74349a"):
        prepare("cifar10", tmp_path / "out", tmp_path)
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5_of(archive))
    assert prepare("cifar10", tmp_path / "out", tmp_path).sizes["test"] == 30


def test_a_changed_batch_in_a_folder_is_refused(tmp_path):
    place_cifar(tmp_path)
    with pytest.raises(Unavailable, match=r"data_batch_1 does not have .* \(MD5 c99cafc152244af753f735de768cd75f\)"):
        prepare("cifar10", tmp_path / "out", tmp_path)


def test_unpacked_mnist_must_be_complete_with_check_sums(tmp_path):
    place_idx(tmp_path)
    with pytest.raises(Unavailable, match=r"holds an array \(40, 28, 28\), expected \(60000, 28, 28\)"):
        prepare("mnist", tmp_path / "out", tmp_path)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "run"), "w"))

    place_cifar(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(Unavailable, match="data_batch_1 is not a batch of CIFAR images"):
        prepare("cifar10", tmp_path / "out", tmp_path, check_sums=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [b"", b"\0\0\x08\x03", gzip.compress(b"\0\0\x08\x01\0\0\0\x09short", mtime=0)[:-3]])
def test_a_cut_idx_file_is_refused(content, tmp_path):
    place_idx(tmp_path, packed=content[:2] == b"\x1f\x8b")
    next((tmp_path / "MNIST/raw").glob("t10k-labels*")).write_bytes(content)
    with pytest.raises(Unavailable, match=r"t10k-labels.*replace it"):
        prepare("mnist", tmp_path / "out", tmp_path, check_sums=False)


def test_a_cut_archive_is_refused(tmp_path):
    archive = tmp_path / "cifar-10-python.tar.gz"
    cifar_archive(archive)
    archive.write_bytes(archive.read_bytes()[:20_000])
    with pytest.raises(Unavailable, match=r"cifar-10-python\.tar\.gz (can't be unpacked|has no file)"):
        prepare("cifar10", tmp_path / "out", tmp_path, check_sums=False)


def test_labels_out_of_range_are_refused(tmp_path):
    place_idx(tmp_path)
    (tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte").write_bytes(idx(np.full(TEST, 10, np.uint8)))
    with pytest.raises(ValueError, match="a label 10; expected 0 to 9"):
        prepare("mnist", tmp_path / "out", tmp_path, check_sums=False)
