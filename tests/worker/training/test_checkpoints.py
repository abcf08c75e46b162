"""Checkpoint files: complete, loaded without unpickling code, and rejected if damaged."""

import pickle
from pathlib import Path

import pytest
import torch

from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.autograd import random_state, replay
from densitylab.worker.resolve import build_model, build_optimizer
from densitylab.worker.training import checkpoints
from densitylab.worker.training.checkpoints import CorruptCheckpoint
from densitylab.worker.training.state import TrainingState
from tests.flips import flipped

CATALOG = Catalog.built_in()

BLOCKMNIST = CATALOG.find("dataset", "blockmnist")


def new_state(seed=0, hidden=4, optimizer="sgd"):
    return TrainingState.new(
        seed=seed,
        device="cpu",
        build_model=lambda: build_model(CATALOG, "mlp", {"hidden": hidden}, BLOCKMNIST),
        build_optimizer=lambda parameters: build_optimizer(CATALOG, optimizer, {}, parameters),
    )


def stepped(state):
    """One optimizer step, so that there is momentum to store."""
    state.model(torch.rand(3, 1, 56, 28)).square().mean().backward()
    state.optimizer.step()
    state.step = 5
    return state


@pytest.fixture
def path(tmp_path) -> Path:
    target = tmp_path / "checkpoint.pt"
    checkpoints.save(target, stepped(new_state()))
    return target


def test_the_whole_state_is_restored(path):
    state = stepped(new_state())
    torch.rand(3)
    state.random = random_state(state.device)
    torch.rand(5, generator=state.penalty_generator)
    threads = torch.get_num_threads()
    checkpoints.save(path, state)
    expected = (torch.rand(4), torch.rand(4, generator=state.penalty_generator))
    try:
        torch.set_num_threads(threads + 1)
        other = new_state()
        checkpoints.load(path.read_bytes(), other)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(threads)
    assert other.step == 5
    with replay(other.random):
        assert torch.equal(torch.rand(4), expected[0])
    assert torch.equal(torch.rand(4, generator=other.penalty_generator), expected[1])
    for name, value in state.model.state_dict().items():
        assert torch.equal(other.model.state_dict()[name], value)
    momenta = [slot["momentum_buffer"] for slot in state.optimizer.state_dict()["state"].values()]
    loaded = [slot["momentum_buffer"] for slot in other.optimizer.state_dict()["state"].values()]
    assert momenta and all(torch.equal(a, b) for a, b in zip(momenta, loaded, strict=True))


def test_the_weights_alone_can_be_loaded(path):
    model = build_model(CATALOG, "mlp", {"hidden": 4}, BLOCKMNIST)
    checkpoints.load_weights(path.read_bytes(), model)
    saved = torch.load(path, weights_only=True)["state"]["model"]
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())


def test_damaged_files_are_refused_with_a_sentence(path):
    whole = path.read_bytes()
    middle = bytearray(whole)
    middle[len(whole) // 2] ^= 1  # a single bit, in the weights
    for content in (b"", b"no checkpoint", whole[:-1], whole[: len(whole) // 2], bytes(middle), bytes(len(whole))):
        path.write_bytes(content)
        with pytest.raises(CorruptCheckpoint, match="damaged"):
            checkpoints.load(path.read_bytes(), new_state())
        with pytest.raises(CorruptCheckpoint, match="damaged"):
            checkpoints.load_weights(content, new_state().model)


def test_files_of_other_programs_are_refused(path):
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(CorruptCheckpoint, match="not a checkpoint of format"):
        checkpoints.load(path.read_bytes(), new_state())


class Trap:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code ran')",))


def test_code_in_a_file_does_not_run(path):
    torch.save({"format": checkpoints.FORMAT, "state": Trap()}, path)
    with pytest.raises(CorruptCheckpoint):
        checkpoints.load(path.read_bytes(), new_state())
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CorruptCheckpoint):
        checkpoints.load(path.read_bytes(), new_state())


@pytest.mark.parametrize("wrong", [{"hidden": 5}, {"optimizer": "adam", "hidden": 5}])
def test_a_checkpoint_of_another_model_is_refused(path, wrong):
    with pytest.raises(CorruptCheckpoint, match="does not fit"):
        checkpoints.load(path.read_bytes(), new_state(**wrong))
    with pytest.raises(CorruptCheckpoint, match="does not fit this model"):
        checkpoints.load_weights(path.read_bytes(), new_state(**wrong).model)


def test_a_checkpoint_of_another_seed_is_refused(path):
    with pytest.raises(ValueError, match="seed 0 on cpu, this run has seed 1"):
        checkpoints.load(path.read_bytes(), new_state(seed=1))


def test_a_file_that_does_not_fit_in_memory_is_not_called_damaged(path, monkeypatch):
    def no_memory(*_given, **_options):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(torch, "load", no_memory)
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        checkpoints.load(path.read_bytes(), new_state())


@pytest.mark.parametrize("count", [120, pytest.param(6000, marks=pytest.mark.slow)])
def test_any_single_bit_flip_without_a_checksum_gives_a_sentence_or_a_model(path, count):
    """Old checkpoints: torch's messages advise to load them without checks, and name paths."""
    model = build_model(CATALOG, "mlp", {"hidden": 4}, BLOCKMNIST)
    damaged = 0
    for content in flipped(path.read_bytes(), count):
        try:
            checkpoints.load_weights(content, model)
        except CorruptCheckpoint as error:
            damaged += 1
            assert "\n" not in str(error) and "weights_only" not in str(error) and "/" not in str(error)
    assert damaged > count / 2
