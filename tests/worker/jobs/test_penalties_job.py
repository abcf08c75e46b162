"""The job that compares mean penalties, in this process, on a real database and real files."""

import re

import pytest
import torch

from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.contracts import Status, TaskKind
from densitylab.backend.shared.specs import plan_run
from densitylab.backend.shared.store import penalties as store
from densitylab.backend.shared.store import tasks
from densitylab.worker.jobs import penalties, train
from tests.worker.conftest import SMALL

DEFAULTS = {"estimator": "double_backward", "p_norm": "2", "power": 2, "every": 1, "h": 0.01}


def compare(lab, params=None, *, key="marginal_density", reference=DEFAULTS, **request):
    """(task, answer) of a request as the API would queue it."""
    spec = plan_run(Catalog.built_in(), SMALL | {"regularizer": {"key": key, "params": params or {}}}).spec
    payload = {
        "spec": spec.model_dump(mode="json"),
        "lambda_": 0.5,
        "reference": reference,
        "seeds": [0] if request.get("run") is None else [],
        "run": None,
        "images": 40,
        **request,
    }
    with lab.database.write() as session:
        task_id = tasks.create(session, TaskKind.PENALTIES, payload=payload).id
    penalties.run(task_id)
    with lab.database.read() as session:
        return tasks.get(session, task_id), store.get(session, task_id)


def test_new_weights_suggest_a_lambda_for_another_norm_and_power(shared_lab):
    task, same = compare(shared_lab)
    assert task.status == Status.SUCCEEDED, task.error
    assert same.penalty == same.reference_penalty > 0 and (same.ratio, same.suggested_lambda) == (1, 0.5)
    assert (same.images, same.seeds, same.run) == (40, [0], None)
    _, other = compare(shared_lab, {"p_norm": "1"})
    assert other.reference_penalty == same.penalty  # the same images and weights in every request
    assert other.penalty > other.reference_penalty
    assert other.suggested_lambda == pytest.approx(0.5 * other.reference_penalty / other.penalty)
    _, unsquared = compare(shared_lab, {"power": 1})
    assert unsquared.suggested_lambda == pytest.approx(0.5 * unsquared.ratio * 2)
    _, squares = compare(shared_lab, {"power": 1}, reference=DEFAULTS | {"power": 1})
    assert squares.ratio == 1 and squares.suggested_lambda == 0.5
    assert "across networks" in other.cautions[0] and "λ·std^2" in other.cautions[1]
    assert "powers differ" in unsquared.cautions[0] and "λ·std^1" in unsquared.cautions[2]
    for found, power in ((other, 2), (unsquared, 1)):
        factor, std = map(float, re.findall(r"so (\S+) times theirs \(std (\S+)\)", found.cautions[-1])[0])
        assert 0.2 < std < 0.5 and factor == pytest.approx(std**power, rel=0.05)  # of the images, in [0, 1]


def test_means_are_over_the_seeds(shared_lab):
    single = [compare(shared_lab, {"p_norm": "inf"}, seeds=[seed])[1] for seed in (3, 4)]
    _, both = compare(shared_lab, {"p_norm": "inf"}, seeds=[3, 4])
    assert single[0].penalty != single[1].penalty and both.seeds == [3, 4]
    assert both.penalty == pytest.approx((single[0].penalty + single[1].penalty) / 2)


def test_weights_of_a_run_are_those_of_its_checkpoint(shared_lab):
    lab = shared_lab
    run_id, task_id = lab.launch(lambda_=0.0)
    train.run(task_id)
    _, new = compare(lab)
    state = torch.get_rng_state()
    task, trained = compare(lab, run=run_id)
    assert task.status == Status.SUCCEEDED, task.error
    assert torch.equal(torch.get_rng_state(), state)  # of the jobs that this process runs besides
    assert trained.penalty > 2 * new.penalty and (trained.run, trained.seeds) == (run_id, [])


def test_only_a_run_at_the_reference_lambda_gives_a_lambda_for_another_power(shared_lab):
    answers = []
    for lambda_ in (0.5, 0.0):
        run_id, task_id = shared_lab.launch(lambda_=lambda_)
        train.run(task_id)
        answers.append(compare(shared_lab, {"power": 1}, run=run_id)[1])
    at_reference, at_baseline = answers
    assert at_reference.cautions[0].startswith("λ is not comparable")
    assert f"Run {at_baseline.run} was not trained with the reference parameters" in at_baseline.cautions[0]
    # equal gradients of the loss: λ₁ ‖g‖ weighs as 2 λ₂ ‖g‖²
    assert at_reference.suggested_lambda == pytest.approx(0.5 * 2 * at_reference.ratio)


def test_a_penalty_below_0_gives_no_lambda(shared_lab):
    reference = {"sigma": 0.0, "every": 1}
    task, found = compare(shared_lab, {"sigma": 1.0}, key="gaussian_noise", reference=reference)
    assert task.status == Status.SUCCEEDED, task.error
    assert found.reference_penalty == 0 and (found.ratio, found.suggested_lambda) == (None, None)
    assert "not above 0" in found.cautions[0]


def test_what_is_gone_is_named(shared_lab):
    untrained, _ = shared_lab.launch()
    for run_id, words in ((999, "Run 999 was deleted"), (untrained, f"Run {untrained} has no checkpoint")):
        task, found = compare(shared_lab, run=run_id)
        assert task.status == Status.FAILED and words in task.error and found is None
    photographs = {"dataset": {"key": "waterbirds"}, "evaluations": []}
    task, _ = compare(shared_lab, spec=plan_run(Catalog.built_in(), photographs).spec.model_dump(mode="json"))
    assert task.status == Status.FAILED and "not prepared on this machine" in task.error
