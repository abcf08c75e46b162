"""Networks with random weights, stored as files in every usual way, and read back to equal logits."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from densitylab.backend.shared.catalog import Catalog, DatasetEntry
from densitylab.worker.importing import parts, ranking, reading, weights
from densitylab.worker.importing.fitting import best_fit
from densitylab.worker.resolve import build_model

CATALOG = Catalog.built_in()
CIFAR = CATALOG.find(DatasetEntry, "cifar10")
TORCHVISION = ("torchvision", {"name": "resnet18"})
TIMM = pytest.param(
    ("timm", {"name": "resnet18"}),
    marks=pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed"),
)
State = dict[str, torch.Tensor]


def network(model: tuple[str, dict[str, Any]], seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    built = build_model(CATALOG, *model, CIFAR)[1].eval()
    for name, buffer in built.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    return built


def loaded(path: Path, model: tuple[str, dict[str, Any]]) -> tuple[torch.nn.Module, str, str]:
    """Return a network with the file's weights, the part they are from, and the removed prefix."""
    target = network(model, seed=99)
    shapes = {name: tuple(value.shape) for name, value in target.state_dict().items()}
    fit = best_fit(parts.parts(reading.read(path).value), shapes)
    assert fit.complete, (fit.missing[:3], fit.unexpected[:3], fit.wrong_shapes[:3])
    weights.require_numbers(fit.part.tensors.items())
    weights.load(target, fit)
    return target, fit.part.key, fit.removed_prefix


def prefixed(prefix: str) -> Callable[[State], State]:
    return lambda state: {prefix + name: value for name, value in state.items()}


def cast(dtype: torch.dtype) -> Callable[[State], State]:
    return lambda state: {
        name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()
    }


WAYS: dict[str, tuple[Callable[[State], Any], str, str]] = {
    "plain": (lambda state: state, "", ""),
    "net of a CIFAR script": (lambda state: {"net": state, "acc": 95.2, "epoch": 199}, "net", ""),
    "net. of a CIFAR script": (lambda state: {"net": prefixed("net.")(state), "acc": 95.2}, "net", "net."),
    "lightning": (
        lambda state: {"state_dict": prefixed("model.")(state), "epoch": 3, "optimizer_states": [{"param_groups": []}]},
        "state_dict",
        "model.",
    ),
    "ema beside": (
        lambda state: {"state_dict": state, "state_dict_ema": {name: value * 0 for name, value in state.items()}},
        "state_dict",
        "",
    ),
    "behind a normalising layer": (
        lambda state: {"0.mean": torch.ones(3, 1, 1), "0.std": torch.ones(3, 1, 1), **prefixed("1.")(state)},
        "",
        "1.",
    ),
    "ema alone": (lambda state: {"ema": {"module": state, "n_averaged": torch.tensor(3)}}, "ema.module", ""),
    "averaged model": (
        lambda state: {"model": {**prefixed("module.")(state), "n_averaged": torch.tensor(3)}},
        "model",
        "module.",
    ),
    "before 0.4.1": (
        lambda state: {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")},
        "",
        "",
    ),
    "thop": (lambda state: {**state, "total_ops": torch.tensor([5.0]), "total_params": torch.tensor([6.0])}, "", ""),
    "parameters": (
        lambda state: {
            "params": {
                name: torch.nn.Parameter(value) if value.is_floating_point() else value for name, value in state.items()
            }
        },
        "params",
        "",
    ),
    "data parallel inside": (
        lambda state: {name.replace("layer1.", "layer1.module."): value for name, value in state.items()},
        "",
        "module.",
    ),
    "compiled inside": (
        lambda state: {name.replace("layer1.", "layer1._orig_mod."): value for name, value in state.items()},
        "",
        "_orig_mod.",
    ),
    "channels last": (
        lambda state: {
            name: value.to(memory_format=torch.channels_last) if value.ndim == 4 else value
            for name, value in state.items()
        },
        "",
        "",
    ),
    "float64": (cast(torch.float64), "", ""),
    **{
        prefix: (lambda state, prefix=prefix: {"state_dict": prefixed(prefix)(state)}, "state_dict", prefix)
        for prefix in (
            "module.",
            "model.",
            "_orig_mod.",
            "net.",
            "backbone.",
            "encoder.",
            "model_ema.",
            "module._orig_mod.",
            "_orig_mod.module.",
            "model.module.",
            "model_ema.module.",
            "0.network.",
        )
    },
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.few(8)
def test_a_network_is_read_back_from_every_way_to_store_it(way: str, tmp_path: Path):
    store, part, prefix = WAYS[way]
    original = network(TORCHVISION, seed=1)
    path = tmp_path / "model.pt"
    torch.save(store(original.state_dict()), path)
    model, found_part, removed = loaded(path, TORCHVISION)
    assert (found_part, removed) == (part, prefix)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(model(images), original(images), rtol=0, atol=1e-6)
    assert all(value.dtype in (torch.float32, torch.int64) for value in model.state_dict().values())


@pytest.mark.parametrize("model", [TORCHVISION, TIMM, ("vit", {}), ("cnn", {"norm": "batch"})])
@pytest.mark.parametrize("form", ["zip", "old", "safetensors"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.few(9)
def test_each_format_and_precision_gives_equal_logits(model: Any, form: str, dtype: torch.dtype, tmp_path: Path):
    original = network(model, seed=2)
    state = cast(dtype)(original.state_dict())
    original.load_state_dict(state)  # rounded, and float32 again
    path = tmp_path / "model"
    if form == "safetensors":
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(loaded(path, model)[0](images), original(images), rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "params"),
    [("torchvision", {"name": "densenet121"}), ("cnn", {"width": 12, "norm": "group"}), ("vit", {"depth": 3})],
)
def test_the_network_of_a_file_is_found_with_its_parameters(model: str, params: dict[str, Any], tmp_path: Path):
    state = network((model, params), seed=3).state_dict()
    found = ranking.rank(
        CATALOG,
        [parts.Part("", prefixed("module.")(state))],
        (3, 32, 32),
        10,
        progress=lambda share: None,
        should_stop=lambda: False,
    )
    assert (found[0].entry.key, found[0].params) == (model, params) and found[0].fit.complete
