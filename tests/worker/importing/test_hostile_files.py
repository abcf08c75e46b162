"""Crafted model files, which would read memory, hang or fill a database: read harmlessly, or refused in a sentence."""

import argparse
import collections
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from densitylab.worker.errors import Interrupted
from densitylab.worker.importing import own_process, parts, reading, weights
from densitylab.worker.importing.errors import BadModelFile
from densitylab.worker.importing.fitting import Fit, best_fit

WEIGHTS = {"conv.weight": torch.ones(4, 3, 3, 3), "fc.weight": torch.ones(10, 4)}
SCALAR = np.float64(0).__reduce__()[0]


def saved(path: Path, value: Any) -> Path:
    torch.save(value, path)
    return path


class Reduced:
    """An object that is pickled as a call, and then gets a state."""

    def __init__(self, *reduced: Any) -> None:
        self._reduced = reduced

    def __reduce__(self) -> Any:
        return self._reduced


def dtype(code: str, state: tuple[Any, ...]) -> Reduced:
    return Reduced(np.dtype, (code, False, True), state)


def record(fields: dict[str, Any], size: int = 8) -> Reduced:
    return dtype(f"V{size}", (3, "|", None, tuple(fields), fields, size, 1, 0))


@pytest.mark.parametrize(
    "number",
    [
        np.float64(93.125),
        np.float32(0.1),
        np.float16(0.5),
        np.int64(-7),
        np.uint8(200),
        np.int32(2**31 - 1),
        np.bool_(1),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_of_numpy_beside_weights_are_read_as_python_numbers(number: Any, order: str, tmp_path: Path):
    kind = number.dtype.newbyteorder(order)
    value = Reduced(SCALAR, (kind, np.array(number, kind).tobytes()))
    for stored in (number, value):
        read = reading.read(saved(tmp_path / "m.pt", {"net": WEIGHTS, "best": stored})).value["best"]
        assert type(read) in (float, int, bool) and read == number


def test_texts_of_numpy_are_read_and_its_other_values_left_out(tmp_path: Path):
    value = {"net": WEIGHTS, "date": np.datetime64("2024-01-01"), "text": np.str_("aé"), "epoch": np.int64(3)}
    read = reading.read(saved(tmp_path / "m.pt", value)).value
    assert (
        read["date"] is None and type(read["text"]) is str and parts.other_entries(read) == {"text": "aé", "epoch": "3"}
    )


POINTER = struct.pack("<Q", 0x4141414141414141)
FORGED = {
    "a pointer as an object": Reduced(SCALAR, (record({"a": (np.dtype("O"), 0)}), POINTER)),
    "a field far beyond": Reduced(SCALAR, (record({"a": (np.dtype("f8"), 2**30)}), bytes(8))),
    "fields on the heap": Reduced(
        SCALAR, (record({f"p{i}": (np.dtype("u8"), 64 + 8 * i) for i in range(6)}), bytes(8))
    ),
    "an array of objects": Reduced(
        SCALAR, (dtype("V8", (3, "|", (np.dtype("O"), (1,)), None, None, 8, 1, 0)), POINTER)
    ),
    "a size below 0": Reduced(SCALAR, (dtype("V8", (3, "|", None, None, None, -8, 1, 0)), bytes(8))),
    "2 GB of text": Reduced(SCALAR, (dtype("U1", (3, "<", None, None, None, 2**31 - 4, 4, 0)), b"abcd")),
    "objects": Reduced(SCALAR, (np.dtype("O"), POINTER)),
}
OWN_BYTES = {"2 GB of text": r"'\ufffd'"}  # the only value that is made of them: of the bytes in the file
READ_ALL = """
import sys
from pathlib import Path
from densitylab.worker.importing import parts, reading
for path in sorted(Path(sys.argv[1]).iterdir()):
    value = reading.read(path).value
    parts.parts(value), repr(value), parts.other_entries(value)
    print(path.name, ascii(value["a"].x))
"""


def test_forged_types_of_numpy_reach_no_memory(tmp_path: Path):
    for name, forged in FORGED.items():
        saved(tmp_path / name, {"net": WEIGHTS, "a": Reduced(argparse.Namespace, (), {"x": forged})})
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{name} {OWN_BYTES.get(name)}" for name in sorted(FORGED)]


def test_a_number_with_too_few_bytes_is_refused(tmp_path: Path):
    path = saved(tmp_path / "m.pt", {"net": WEIGHTS, "a": Reduced(SCALAR, (np.dtype("f8"), b"abc"))})
    with pytest.raises(BadModelFile, match="damaged"):
        reading.read(path)


def shared(depth: int, width: int) -> Any:
    value: Any = WEIGHTS
    for _ in range(depth):
        value = {f"k{index}": value for index in range(width)}
    return value


def lists(depth: int) -> list[Any]:
    return [lists(depth - 1)] * 60 if depth else []


def cycle() -> list[Any]:
    value: list[Any] = []
    value.extend([value] * 10)
    return value


@pytest.mark.timeout(20)
def test_values_that_share_or_contain_each_other_take_no_time(tmp_path: Path):
    for name, value in {"lists": lists(8), "cycle": cycle(), "deep": shared(40, 2)}.items():
        read = reading.read(saved(tmp_path / name, {**WEIGHTS, "x": value})).value
        assert list(parts.parts(read)[0].tensors) == list(WEIGHTS)
    with pytest.raises(BadModelFile, match="no weights"):
        parts.parts(reading.read(saved(tmp_path / "none", {"x": cycle()})).value)
    with pytest.raises(BadModelFile, match="more than 100 state dicts"):
        parts.parts(reading.read(saved(tmp_path / "dicts", shared(4, 40))).value)
    empty: Any = {"a": 1}
    for _ in range(4):
        empty = {f"k{index}": empty for index in range(60)}
    with pytest.raises(BadModelFile, match="more than 1,000,000 entries"):
        parts.parts(empty)


def key_of_pairs(depth: int) -> Any:
    """Return a tuple whose hash takes 2^depth steps, since each level has the one below twice."""
    key: Any = ()
    for _ in range(depth):
        key = (key, key)
    return key


def one_in_another(depth: int) -> bytes:
    """Return a pickle of a dict whose key is that many tuples in each other, which hashing follows on the stack."""
    return b"\x80\x02}(" + b")" + b"\x85" * depth + b"K\x01u."


class Hashless:
    """Is pickled as a dict with a key that is not hashed while it is saved."""

    def __init__(self, key: Any) -> None:
        self.key = key

    def __reduce__(self) -> Any:
        return collections.OrderedDict, (), None, None, iter([(self.key, 1)])


@pytest.mark.timeout(30)
def test_a_key_whose_hash_takes_for_ever_ends_within_the_limit_of_time(tmp_path: Path):
    path = saved(tmp_path / "m.pt", {**WEIGHTS, "x": Hashless(key_of_pairs(60))})
    began = time.monotonic()
    with pytest.raises(BadModelFile, match="takes more than 1 s of processor time"):
        reading.read(path, seconds=1)
    with pytest.raises(Interrupted):
        reading.read(path, should_stop=lambda: time.monotonic() > began + 1)


def test_a_key_that_overflows_the_stack_ends_the_reading_process_alone(tmp_path: Path):
    path = saved(tmp_path / "m.pt", WEIGHTS)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, one_in_another(300_000) if name.endswith("data.pkl") else content)
    with pytest.raises(BadModelFile, match="makes PyTorch crash"):
        reading.read(path)


def test_the_same_weights_under_two_keys_are_found_under_both(tmp_path: Path):
    read = reading.read(saved(tmp_path / "m.pt", {"state_dict": WEIGHTS, "ema": WEIGHTS})).value
    assert [part.key for part in parts.parts(read)] == ["state_dict", "ema"]


def test_a_tensor_that_lies_deep_is_checked_too(tmp_path: Path):
    value: Any = torch.ones(1).expand(10**9)
    for _ in range(30):
        value = [value]
    with pytest.raises(BadModelFile, match="larger than its values"):
        reading.read(saved(tmp_path / "m.pt", {**WEIGHTS, "x": value}))


@pytest.mark.timeout(20)
def test_names_are_bounded_and_so_is_the_time_that_they_take():
    with pytest.raises(BadModelFile, match=r"a name of 40,001 characters, a\.a\..*…: at most 1,000"):
        parts.parts({"a." * 20_000 + "w": torch.ones(2, 2)})
    many = {"a." * 490 + f"{index}.weight": torch.ones(2, 2) for index in range(1000)}
    (part,) = parts.parts(many)
    fit = best_fit([part], {"0.weight": (2, 2), "1.weight": (2, 2)})
    assert fit.removed_prefix == "a." * 490 and len(fit.matching) == 2


@pytest.mark.parametrize("name", ["a\x00b", "a\ud800", "a\x1b[31m", "a\nb"])
def test_names_with_control_characters_are_refused(name: str):
    for value in ({name: torch.ones(2)}, {name: {"w": torch.ones(2)}}):
        with pytest.raises(BadModelFile, match="control characters") as refused:
            parts.parts(value)
        assert name not in str(refused.value) and str(refused.value).isprintable()


def test_class_names_and_other_entries_are_escaped_and_bounded():
    assert parts.class_names({"classes": ["c\x00t", "d\ud800g" + "x" * 999]}) == [
        "c\\x00t",
        "d\\ud800g" + "x" * 191 + "…",
    ]
    assert parts.other_entries({"n\x00": "v\x00" * 99, "e": 3}) == {"n\\x00": ("v\\x00" * 20)[:99] + "…", "e": "3"}
    assert parts.class_names({"classes": ["a"] * 100_001}) == []


@pytest.mark.parametrize("key", ["²", "1" * 5000, "-1", "x", 10**30, None])
def test_keys_that_are_no_index_give_no_class_names(key: Any):
    assert parts.class_names({"idx_to_class": {key: "cat", "1": "dog"}}) == []
    assert parts.class_names({"idx_to_class": {"0": "cat", 1: "dog"}}) == ["cat", "dog"]


def test_a_sentence_offers_few_parts():
    value = {f"part{index}": {"w": torch.ones(2)} for index in range(50)}
    with pytest.raises(BadModelFile, match="part9 and 40 more") as refused:
        parts.chosen(value, "x" * 10_000)
    assert len(str(refused.value)) < 500


def loaded(tensors: dict[str, torch.Tensor], network: torch.nn.Module) -> None:
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    weights.require_numbers(tensors.items())
    weights.load(network, Fit(parts.Part("", tensors), "", tensors, shapes))


@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.bool, torch.uint16])
def test_weights_that_are_no_floating_point_numbers_are_refused(kind: torch.dtype):
    with pytest.raises(BadModelFile, match=f"weight are of type {str(kind)[6:]}, and the network's of type float32"):
        loaded({"weight": torch.ones(3, 2, dtype=kind)}, torch.nn.Linear(2, 3, bias=False))


def test_counters_may_be_of_any_kind_and_variances_not_below_0():
    layer = torch.nn.BatchNorm1d(2)
    state = collections.OrderedDict(layer.state_dict())
    for kind in (torch.int64, torch.int32, torch.float32):
        loaded({**state, "num_batches_tracked": torch.tensor(7, dtype=kind)}, layer)
        assert layer.num_batches_tracked == 7
    with pytest.raises(BadModelFile, match="variances running_var have 1 values below 0"):
        loaded({**state, "running_var": torch.tensor([1.0, -0.1])}, layer)


def test_a_read_that_only_waits_comes_to_an_end(monkeypatch):
    monkeypatch.setattr(own_process, "_WAITING", 1)
    began = time.monotonic()
    with pytest.raises(BadModelFile, match="does not come to an end"):
        own_process.succeeds(lambda: time.sleep(600), seconds=1, further_bytes=2**30, should_stop=lambda: False)
    assert time.monotonic() - began < 30
