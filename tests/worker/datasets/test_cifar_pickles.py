"""CIFAR batches as people pickle them: protocols and keys vary; other contents are refused with the reason."""

import pickle

import numpy as np
import pytest
import torch
from torchvision import datasets

from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.datasets.cifar_pickles import splits
from densitylab.worker.datasets.source import Source, Unavailable
from densitylab.worker.resolve import load

COUNT = 20
NAMES = [name for name, _ in [*datasets.CIFAR10.train_list, *datasets.CIFAR10.test_list]]


def batch(number):
    pixels = np.random.default_rng(number).integers(0, 256, (COUNT, 3072), dtype=np.uint8)
    return {"data": pixels, "labels": [index % 10 for index in range(COUNT)]}


def placed(root, changed=None, dump=lambda batch: pickle.dumps(batch, protocol=2)):
    """Place the six batches; `changed` replaces entries of the first."""
    folder = root / datasets.CIFAR10.base_folder
    folder.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        contents = batch(number) | (changed or {} if number == 0 else {})
        (folder / name).write_bytes(dump(contents))
    return root


def read(root):
    return splits(
        Source(placed=root, downloads=root / "downloads"),
        "CIFAR10",
        "labels",
        check_sums=False,
        progress=lambda share: None,
        should_stop=lambda: False,
    )


def byte_keys(contents):
    return {key.encode(): value for key, value in contents.items()}


def numpy_labels(contents):
    return contents | {"labels": [np.int64(label) for label in contents["labels"]]}


def label_array(contents):
    return contents | {"labels": np.array(contents["labels"], np.uint8)}


def images_of_rank_four(contents):
    return contents | {"data": contents["data"].reshape(-1, 3, 32, 32)}


def small_integers_of_a_wide_type(contents):
    return contents | {"data": contents["data"].astype(">i8")}


def column_order(contents):
    return contents | {"data": np.asfortranarray(contents["data"])}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "variant",
    [
        dict,
        byte_keys,
        numpy_labels,
        label_array,
        images_of_rank_four,
        small_integers_of_a_wide_type,
        column_order,
    ],
)
def test_every_protocol_and_harmless_variant_gives_the_same_images(variant, protocol, tmp_path):
    arrays = read(placed(tmp_path, dump=lambda contents: pickle.dumps(variant(contents), protocol=protocol)))
    images, labels = arrays["test"]
    assert images.dtype == np.uint8 and labels.dtype == np.int64
    assert np.array_equal(images, batch(5)["data"].reshape(-1, 3, 32, 32)) and labels.tolist() == batch(5)["labels"]
    assert len(arrays["train"][0]) == 5 * COUNT


@pytest.mark.parametrize("protocol", [0, 2, 3])
def test_the_module_names_before_numpy_2_are_read(protocol, tmp_path):
    def dump(contents):
        return pickle.dumps(contents, protocol=protocol).replace(b"numpy._core.", b"numpy.core.")

    old = placed(tmp_path, dump=dump)
    assert b"numpy.core.multiarray" in (old / datasets.CIFAR10.base_folder / NAMES[0]).read_bytes()
    assert np.array_equal(read(old)["test"][0], batch(5)["data"].reshape(-1, 3, 32, 32))


PIXELS = batch(0)["data"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data": PIXELS / 255.0}, '"data" has values of the type float64; expected integers'),
        ({"data": PIXELS.astype(np.float32)}, '"data" has values of the type float32; expected integers'),
        ({"data": PIXELS > 127}, '"data" has values of the type bool; expected integers'),
        ({"data": PIXELS.astype(object)}, '"data" has values of the type object; expected integers'),
        ({"data": PIXELS.astype(np.int64) * 257}, r'"data" has values from \d+ to 65535; expected 0 to 255'),
        ({"data": PIXELS.astype(np.int16) - 128}, r'"data" has values from -128 to 127; expected 0 to 255'),
        (
            {"data": PIXELS.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)},
            r'"data" has the shape \(20, 32, 32, 3\); expected \(N, 3072\) or \(N, 3, 32, 32\)',
        ),
        ({"data": PIXELS[:, :1024]}, r'"data" has the shape \(20, 1024\)'),
        ({"data": PIXELS.reshape(-1)}, r'"data" has the shape \(61440,\)'),
        ({"data": [[1, 2], [3]]}, '"data" is not an array'),
        ({"data": "pixels"}, '"data" has values of the type .*; expected integers'),
        ({"labels": [0.5] * COUNT}, '"labels" has values of the type float64; expected integers'),
        ({"labels": ["cat"] * COUNT}, '"labels" has values of the type .*; expected integers'),
        ({"labels": [2**70] * COUNT}, '"labels" has values of the type object; expected integers'),
        ({"labels": [0] * 3}, r'"labels" has the shape \(3,\); expected one label for each of 20 images'),
        ({"labels": np.eye(10, dtype=int)[[0] * COUNT]}, r'"labels" has the shape \(20, 10\); expected one label'),
    ],
)
def test_other_contents_are_refused_with_file_and_reason(changed, said, tmp_path):
    with pytest.raises(Unavailable, match=f"^data_batch_1: {said}"):
        read(placed(tmp_path, changed))


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ([1, 2], r"data_batch_1 is not a batch of CIFAR images \(a list, not a dict\)"),
        ({"data": PIXELS, "fine_labels": [0] * COUNT}, 'data_batch_1 has no "labels"; it has data, fine_labels'),
        ({}, 'data_batch_1 has no "data"; it has nothing'),
    ],
)
def test_a_pickle_of_something_else_is_named(contents, said, tmp_path):
    root = placed(tmp_path)
    (root / datasets.CIFAR10.base_folder / "data_batch_1").write_bytes(pickle.dumps(contents))
    with pytest.raises(Unavailable, match=said):
        read(root)


@pytest.mark.parametrize("label", [10, -1])
def test_a_label_out_of_range_is_named(label, tmp_path):
    placed(tmp_path / "files", {"labels": [label] * COUNT})
    prepare = load(Catalog.built_in().find("dataset", "cifar10"))
    source = Source(placed=tmp_path / "files", downloads=tmp_path / "downloads")
    with pytest.raises(ValueError, match=f"a label {label}; expected 0 to 9"):
        prepare(tmp_path / "out", source, check_sums=False, progress=lambda share: None, should_stop=lambda: False)
    assert not (tmp_path / "out").exists()


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("hidden", [False, True])
def test_no_pickle_runs_code(hidden, protocol, tmp_path):
    root = placed(tmp_path)
    evil = Call(open, str(tmp_path / "ran"), "w")
    contents = {"data": np.array([evil], dtype=object), "labels": [0]} if hidden else evil
    (root / datasets.CIFAR10.base_folder / "data_batch_1").write_bytes(pickle.dumps(contents, protocol=protocol))
    with pytest.raises(Unavailable, match=r"data_batch_1 is not a batch of CIFAR images \(it uses (_?io)\.open\)"):
        read(root)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "evil",
    [
        Call(eval, "1 + 1"),
        Call(np.load, "x.npy"),
        Call(np.fromfile, "x"),
        Call(np.zeros, 3),
        Call(torch.load, "x.pt"),
        Call(getattr, np, "load"),
    ],
)
def test_no_other_function_is_called(evil, tmp_path):
    root = placed(tmp_path)
    content = pickle.dumps(evil) if evil.call[0] is not getattr else b"cbuiltins\ngetattr\n(cnumpy\nndarray\nS'x'\ntR."
    (root / datasets.CIFAR10.base_folder / "data_batch_1").write_bytes(content)
    with pytest.raises(Unavailable, match="is not a batch of CIFAR images"):
        read(root)


def test_damaged_bytes_are_always_a_refusal(tmp_path):
    """Each damage is either seen, or changes pixels alone; no other exception leaves the reader."""
    root = placed(tmp_path)
    path = root / datasets.CIFAR10.base_folder / "data_batch_1"
    whole = pickle.dumps({"data": PIXELS[:2], "labels": [0, 1]}, protocol=5)
    rng = np.random.default_rng(0)
    refused = 0
    for number in range(300):
        damaged = bytearray(whole)
        if number % 2:
            damaged = damaged[: rng.integers(1, len(whole))]
        else:
            for _ in range(3):
                damaged[rng.integers(0, 120)] = rng.integers(0, 256)
        path.write_bytes(bytes(damaged))
        try:
            read(root)
        except Unavailable as error:
            assert "data_batch_1" in str(error)
            refused += 1
    assert refused > 200
