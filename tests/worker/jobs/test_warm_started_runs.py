"""Runs that start from the weights of other runs, on a real database and real files."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from densitylab.backend.services import imports
from densitylab.backend.shared.callers import LOCAL
from densitylab.backend.shared.catalog import Catalog, DatasetEntry
from densitylab.backend.shared.contracts import ImportRequest, Status, TaskKind
from densitylab.backend.shared.errors import InvalidRequest
from densitylab.backend.shared.store import tasks
from densitylab.worker.jobs import import_model, register, train
from densitylab.worker.resolve import build_model
from densitylab.worker.runtime import stop_signal
from tests.worker.jobs.test_continued_runs import interrupting, same_weights, trained

CNN = {"key": "cnn", "params": {"width": 4, "norm": "batch"}}
HEAD = "1.5"  # of the MLP: flatten, (linear, activation) twice, linear


def warm(source, **options):
    return {"init_from": {"run": source, "mode": "weights", **options}}


def kept(lab, run_id, prefix=""):
    return {name: tensor for name, tensor in lab.weights(run_id).items() if name.startswith(prefix)}


def equal(lab, one, other, prefix):
    ours, theirs = kept(lab, one, prefix), kept(lab, other, prefix)
    return bool(ours) and all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


@pytest.fixture(scope="module")
def source(shared_lab):
    return trained(shared_lab, epochs=2)


def test_another_training_starts_from_the_weights(shared_lab, source):
    changes = {
        "dataset": {"key": "blockmnist", "params": {"data_seed": 1}},
        "regularizer": {"key": "none"},
        "lambda_": 0.0,
        "optimizer": {"key": "sgd", "params": {"lr": 1e-9, "momentum": 0.0}},
        "epochs": 1,
        "seed": 3,
    }
    run_id = trained(shared_lab, **changes, **warm(source))
    for name, tensor in kept(shared_lab, run_id, "1.").items():
        assert torch.allclose(tensor, shared_lab.weights(source)[name], atol=1e-6), name
    run = shared_lab.run(run_id)
    assert run.checkpoint_step == 6 and {step for _, step, _ in shared_lab.rows(run_id)} == set(range(1, 7))
    about = run.provenance["init_from"]
    assert (about["run"], about["mode"], about["step"], about["epochs"]) == (source, "weights", 12, 2.0)
    assert (about["loaded"], about["not_loaded"], about["frozen"]) == (6, [], [])
    assert shared_lab.checkpoint(source).location.endswith(f".sha256-{about['sha256']}.pt")
    assert f"starts from the weights of run {source}, step 12: 6 tensors are loaded" in shared_lab.log(run_id)
    assert run.lineage.ancestors[0].run == source and run_id in shared_lab.run(source).lineage.children


def test_a_data_set_with_another_number_of_classes_gets_a_new_head(shared_lab, source):
    folder = shared_lab.settings.data_dir / "halves"
    for label in ("dark", "bright"):
        for number in range(12):
            path = folder / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shade = 10 * number + (127 if label == "bright" else 0)
            Image.fromarray(np.full((56, 28), shade, dtype=np.uint8)).save(path)
    payload = {"label": "Halves", "key": "halves", "path": "halves", "upload": None, "image_size": None}
    with shared_lab.database.write() as session:
        options = {"mask_marks": "object", "data_seed": 0}
        task_id = tasks.create(session, TaskKind.REGISTER, payload=payload | options).id
    register.run(task_id)
    changes = {"dataset": {"key": "halves"}, "train_samples": None, "batch_size": 4, "epochs": 1}
    run_id = trained(shared_lab, **changes, **warm(source, freeze=["1", "3"]))
    assert shared_lab.weights(run_id)[f"{HEAD}.weight"].shape == (2, 32)
    assert equal(shared_lab, run_id, source, "1.1.") and equal(shared_lab, run_id, source, "1.3.")
    assert shared_lab.run(run_id).provenance["init_from"]["not_loaded"] == ["5.weight", "5.bias"]
    task_id = shared_lab.launch(evaluations=[], **changes, **warm(source, head="keep"))[1]
    train.run(task_id)
    with shared_lab.database.read() as session:
        assert "the head does not fit (5.weight is 2×32 here and 10×32 there)" in tasks.get(session, task_id).error


def test_a_new_head_is_drawn_as_without_a_source(shared_lab, source):
    options = {"epochs": 1, "optimizer": {"key": "sgd", "params": {"lr": 1e-9, "momentum": 0.0}}, "seed": 4}
    run_id = trained(shared_lab, **options, **warm(source, head="new"))
    plain = trained(shared_lab, **options)
    for name, tensor in kept(shared_lab, run_id, "1.").items():
        expected = shared_lab.weights(plain if name.startswith(HEAD) else source)[name]
        assert torch.allclose(tensor, expected, atol=1e-6), name
    assert shared_lab.run(run_id).provenance["init_from"]["not_loaded"] == ["5.weight", "5.bias"]
    assert "not loaded, drawn anew: 5.weight, 5.bias" in shared_lab.log(run_id)


@pytest.mark.parametrize("regularizer", ["marginal_density", "input_gradient", "adversarial_training"])
def test_frozen_layers_stay_and_the_head_trains_with_every_penalty(shared_lab, source, regularizer):
    changes = {"epochs": 1, "regularizer": {"key": regularizer}, "lambda_": 0.5, "ema_decay": 0.9}
    run_id = trained(shared_lab, **changes, **warm(source, freeze=["1", "3.*"]))
    assert equal(shared_lab, run_id, source, "1.1.") and equal(shared_lab, run_id, source, "1.3.")
    assert not equal(shared_lab, run_id, source, HEAD)
    assert "frozen, 4 parameters: 1.weight, 1.bias, 3.weight, 3.bias" in shared_lab.log(run_id)
    assert shared_lab.run(run_id).metrics["penalty"] != 0


def test_frozen_batch_norms_keep_their_statistics(shared_lab):
    small = {"model": CNN, "train_samples": 200, "epochs": 1}
    source = trained(shared_lab, **small)
    names = [name for name in shared_lab.weights(source) if "running_mean" in name]
    run_id = trained(shared_lab, **small, **warm(source, freeze=[names[0].split(".")[1]]))
    frozen, free = names[0], names[-1]
    assert torch.equal(shared_lab.weights(run_id)[frozen], shared_lab.weights(source)[frozen])
    assert not torch.equal(shared_lab.weights(run_id)[free], shared_lab.weights(source)[free])


def test_repeats_and_interrupted_runs_are_equal_bit_for_bit(shared_lab, source, monkeypatch):
    changes = {"epochs": 3, "seed": 5} | warm(source, freeze=["1"], head="new", head_learning_rate_factor=10.0)
    first, second = trained(shared_lab, **changes), trained(shared_lab, **changes)
    assert same_weights(shared_lab, first, second) and shared_lab.rows(first) == shared_lab.rows(second)
    run_id, task_id = shared_lab.launch(evaluations=[], **changes)
    with monkeypatch.context() as patch:
        patch.setattr(train, "fit", interrupting(8, lambda: stop_signal.request(True)))
        train.run(task_id)
    stop_signal.request(False)
    assert (shared_lab.run(run_id).status, shared_lab.run(run_id).checkpoint_step) == (Status.QUEUED, 8)
    train.run(task_id)
    assert same_weights(shared_lab, run_id, first) and shared_lab.rows(run_id) == shared_lab.rows(first)


def test_the_head_has_its_own_learning_rate_also_in_a_continued_run(shared_lab, source):
    start = warm(source, freeze=["1"], head_learning_rate_factor=10.0)
    run_id = trained(shared_lab, epochs=1, **start)
    content = shared_lab.artifacts.read(shared_lab.checkpoint(run_id).location)
    groups = torch.load(io.BytesIO(content), weights_only=True)["state"]["optimizer"]["param_groups"]
    assert [(group["lr"], len(group["params"])) for group in groups] == [(0.001, 4), (0.01, 2)]
    at_once = trained(shared_lab, epochs=2, **start)
    longer = trained(shared_lab, epochs=2, init_from={"run": run_id, "mode": "continue"}, lambda_=0.1)
    assert shared_lab.run(longer).spec.init_from.freeze == ["1"]  # inherited
    assert same_weights(shared_lab, longer, at_once) and shared_lab.rows(longer) == shared_lab.rows(at_once)


def test_an_imported_model_is_trained_further(shared_lab, tmp_path):
    catalog = Catalog.built_in()
    torch.manual_seed(3)
    model = build_model(catalog, CNN["key"], CNN["params"], catalog.find(DatasetEntry, "blockmnist"))
    weights = model[1].state_dict()
    buffer = io.BytesIO()
    torch.save({"state_dict": {f"module.{name}": value for name, value in weights.items()}}, buffer)
    shared_lab.artifacts.write("models/theirs", buffer.getvalue())
    body = ImportRequest.model_validate({"dataset": {"key": "blockmnist"}, "model": CNN, "normalization": "half"})
    with shared_lab.database.write() as session:
        task_id = imports.request(
            session, catalog, None, body, LOCAL, {}, upload="models/theirs", file_name="theirs.pt"
        )
    import_model.run(task_id)
    with shared_lab.database.read() as session:
        task = tasks.get(session, task_id)
    assert task.error is None
    interface = shared_lab.run(task.run).spec.interface.model_dump()
    frozen = [next(iter(weights)).split(".")[0]]
    run_id = trained(shared_lab, model=CNN, interface=interface, epochs=1, **warm(task.run, freeze=frozen))
    for name, tensor in kept(shared_lab, run_id, f"1.{frozen[0]}.").items():
        assert torch.equal(tensor, weights[name.removeprefix("1.")]), name
    assert f"starts from the weights of run {task.run}: {len(weights)} tensors" in shared_lab.log(run_id)
    assert shared_lab.run(run_id).provenance["init_from"]["epochs"] is None


@pytest.mark.parametrize(
    "changes, options, sentence",
    [
        (
            {"model": {"key": "mlp", "params": {"hidden": 32, "activation": "gelu"}}},
            {"freeze": ["feature*"]},
            "no parameter of the model matches the freeze pattern 'feature*'; its",
        ),
        ({"model": CNN}, {}, "weights fit this network by name and shape: "),
        (
            {"model": {"key": "mlp", "params": {"hidden": 16}}},
            {},
            "only 0 of 4 weights fit this network by name and shape: 1.weight is 16×1568 here and 32×1568 there",
        ),
    ],
)
def test_what_does_not_fit_is_said(shared_lab, source, changes, options, sentence):
    run_id, task_id = shared_lab.launch(evaluations=[], epochs=1, **changes, **warm(source, **options))
    train.run(task_id)
    run = shared_lab.run(run_id)
    assert run.status == Status.FAILED and sentence in run.error


def test_a_pattern_that_matches_nothing_is_refused_before_the_launch(shared_lab, source):
    for freeze, detail in ((["feature*"], "matches the freeze pattern 'feature"), (["*.weight", "*.bias"], "at least")):
        with pytest.raises(InvalidRequest) as refused:
            shared_lab.launch(**warm(source, freeze=freeze))
        (error,) = refused.value.errors
        assert error.pointer == "/spec/init_from/freeze" and detail in error.detail
