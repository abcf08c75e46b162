"""Micro-batches of evaluation tasks: the same results in any, and smaller ones where the GPU's memory is short."""

import pytest
import torch
from sqlalchemy import update

from densitylab.backend.shared.tables import TaskRow
from densitylab.worker.evaluations.micro_batch_size import MicroBatchSize
from densitylab.worker.jobs import evaluate, train
from densitylab.worker.jobs.evaluate import HALVINGS, _within_memory

MEASURES = [
    {"key": "leakage", "params": {"samples": 60}},
    {"key": "pgd_linf", "params": {"epsilons": [0.05], "steps": 3, "samples": 60}},
    {"key": "stability", "params": {"samples": 60, "perturbation": {"key": "noise", "params": {}}}},
    {"key": "density", "params": {"samples": 60}},
]


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_task_gives_the_same_results_in_smaller_micro_batches_and_states_the_size(lab, monkeypatch, model):
    chosen = {"key": model, "params": {"hidden": 32} if model == "mlp" else {"width": 4}}
    run_id, task = lab.launch(model=chosen, epochs=1, train_samples=300, evaluations=MEASURES)
    train.run(task)
    results = []
    for size in (None, MicroBatchSize(7, 60), MicroBatchSize(7, 7)):
        if size is not None:
            monkeypatch.setattr(evaluate, "micro_batch_size", lambda network, x, size=size: size)
        with lab.database.write() as session:
            for item in lab.evaluations(run_id).values():
                session.execute(update(TaskRow).where(TaskRow.id == item.task).values(status="queued", token=0))
        for item in lab.evaluations(run_id).values():
            evaluate.run(item.task)
        measured = lab.evaluations(run_id)
        assert {item.error for item in measured.values()} == {None}
        assert {item.provenance["micro_batch"] for item in measured.values()} == {256 if size is None else 7}
        results.append({name: value.value for name, value in lab.run(run_id).results.items()})
    for other in results[1:]:
        assert other == pytest.approx(results[0], rel=1e-4, abs=1e-6)  # float32, and products of other sizes


def short_of_memory(until):
    """Return a function that needs so many halvings, and the list of its calls."""
    calls = []

    def evaluated(halvings):
        calls.append(halvings)
        if halvings < until:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return f"result after {halvings}"

    return evaluated, calls


def test_the_micro_batch_is_halved_until_the_memory_suffices():
    evaluated, calls = short_of_memory(until=2)
    assert _within_memory(evaluated) == "result after 2"
    assert calls == [0, 1, 2]


def test_a_lack_of_memory_that_halving_does_not_end_is_an_error():
    evaluated, calls = short_of_memory(until=HALVINGS + 1)
    with pytest.raises(torch.OutOfMemoryError):
        _within_memory(evaluated)
    assert calls == list(range(HALVINGS + 1))
