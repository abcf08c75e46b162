"""docs/recompute.py computes every figure of every evaluation again from the stored arrays."""

import copy
import io
import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import nn

from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.datasets.corrupted import Corrupted
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.jobs.evaluate import _finite, _with_images
from densitylab.worker.resolve import component
from tests.docs_scripts import load

CATALOG = Catalog.built_in()
OPTIONS = {
    "autoattack_linf": {"epsilons": [0.2]},
    "pgd_linf": {"steps": 3, "epsilons": [0.1, 0.02]},
    "pgd_l2": {"steps": 3},
    "square_linf": {"queries": 20},
    "transfer_linf": {"steps": 3},
    "pixel_perturbation": {"fractions": [0.1, 0.5]},
}


@pytest.fixture(scope="module")
def recompute():
    return load("recompute.py")


@pytest.fixture(scope="module")
def task():
    """A trained network, 90 images with masks and groups, and the same with random weights."""
    torch.manual_seed(0)
    images = torch.randint(0, 256, (90, 1, 12, 6), dtype=torch.uint8)
    x, labels = images / 255, torch.arange(90) % 3
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 16), nn.Softplus(), nn.Linear(16, 3))
    untrained = copy.deepcopy(model).eval()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()
    model.zero_grad(set_to_none=True)
    masks = torch.rand(90, 1, 12, 6) < 0.6
    return model.eval(), untrained, Dataset(images, labels, masks, (torch.arange(90) // 7) % 4)


def stored(entry, task, tmp_path):
    """Return the answer of the API for this evaluation, with its NPZ in the folder."""
    model, untrained, data = task
    params = {"samples": 60} if entry.param("samples") else {}
    params |= OPTIONS.get(entry.key, {})
    offered = {
        "train_data": lambda: data,
        "fresh_model": lambda: untrained,
        "prior_results": [],
        "corruptions": Corrupted(
            lambda name, level, rows: Dataset(255 - data.images[rows] // level, data.labels[rows]), data.labels.numpy()
        ),
    }
    runs = {param.name: untrained for param in entry.params if param.type == "run"}
    method = component(CATALOG, "evaluation", entry.key, params)
    result = method.function(
        model,
        data,
        generator=torch.Generator().manual_seed(0),
        progress=lambda share: None,
        should_stop=lambda: False,
        **{name: offered[name] for name in entry.uses},
        **runs,
    )
    file = io.BytesIO()
    np.savez_compressed(file, **_with_images(result.arrays, data))
    (tmp_path / f"{entry.key}.npz").write_bytes(file.getvalue())
    defaults = {param.name: param.default for param in entry.params}
    item = {
        "name": entry.key,
        "key": entry.key,
        "params": defaults | params,
        "values": {name: _finite(asdict(value)) for name, value in result.values.items()},
        "curves": {name: _finite(asdict(curve)) for name, curve in result.curves.items()},
    }
    return json.loads(json.dumps(item))


@pytest.mark.parametrize("key", [key for key in CATALOG.by_kind["evaluation"] if key != "autoattack_l2"])
def test_every_figure_is_computed_again(key, recompute, task, tmp_path, capsys):
    item = stored(CATALOG.find("evaluation", key), task, tmp_path)
    (tmp_path / "evaluations.json").write_text(json.dumps({"items": [item]}))
    code, printed = recompute.main(tmp_path / "evaluations.json", tmp_path), capsys.readouterr().out
    assert code == 0 and "figures agree" in printed, printed


def test_a_changed_figure_is_found(recompute, task, tmp_path, capsys):
    item = stored(CATALOG.find("evaluation", "leakage"), task, tmp_path)
    item["values"]["share"]["high"] += 0.001
    (tmp_path / "evaluations.json").write_text(json.dumps([item]))
    assert recompute.main(tmp_path / "evaluations.json", tmp_path) == 1
    assert "share: stored" in capsys.readouterr().out
