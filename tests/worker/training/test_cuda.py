"""GPU results equal CPU results; all tests are skipped without a GPU."""

import io
import itertools
import json
from contextlib import closing

import pytest
import torch

from densitylab.backend.shared.catalog import Catalog, RegularizerEntry
from densitylab.backend.shared.contracts import Status
from densitylab.backend.shared.specs import complete_params
from densitylab.worker.jobs import evaluate, train
from densitylab.worker.jobs.device import choose_device
from densitylab.worker.jobs.failures import JobFailed
from densitylab.worker.models import cnn
from densitylab.worker.resolve import build_model, build_optimizer, component
from densitylab.worker.training import checkpoints
from densitylab.worker.training.batches import Batches
from densitylab.worker.training.config import TrainingConfig
from densitylab.worker.training.loop import fit
from densitylab.worker.training.objective import objective
from densitylab.worker.training.precision import ComputeConfig
from densitylab.worker.training.state import TrainingState
from tests.worker import small_runs
from tests.worker.small_runs import BLOCKMNIST, MODEL, TRAIN, VALIDATION

CATALOG = Catalog.built_in()

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
GPU = torch.device("cuda")


def variants(entry):
    """Parameters of a regularizer: every valid combination of estimator, target and norm."""
    names = [param.name for param in entry.params if param.name in ("estimator", "target", "p_norm")]
    for choices in itertools.product(*(entry.param(name).choices for name in names)):
        errors = []
        params = dict(zip(names, choices, strict=True))
        complete_params(CATALOG, "regularizer", entry.key, params, "", errors)
        if not errors:
            yield params


def draws(entry, params):
    return entry.draws is not None and all(params[name] in values for name, values in entry.draws.items())


EVERY = [(entry, params) for entry in CATALOG.all(RegularizerEntry) for params in variants(entry)]
EXACT = [(entry.key, params) for entry, params in EVERY if not draws(entry, params)]  # the same on both devices
DRAWING = [(entry.key, params) for entry, params in EVERY if draws(entry, params)]
CALM = ComputeConfig("float32", deterministic=True)


def network():
    torch.manual_seed(0)
    model = cnn.build(1, (16, 16), 3, width=8, activation="gelu", pooling="average")
    with torch.no_grad():
        model[-1].weight.mul_(30.0)  # gradients well above the noise of a difference in float32
    return model


def penalty_and_gradient(device, key, params, dtype, half=None):
    """The mean penalty, and the loss's gradient by the weights as one vector, on the CPU."""
    model = network().to(device, dtype)
    x = torch.rand(24, 1, 16, 16, generator=torch.Generator().manual_seed(1)).to(device, dtype)
    y = (torch.arange(24) % 3).to(device)
    with CALM.applied(device), torch.autocast(device.type, dtype=half or torch.bfloat16, enabled=half is not None):
        chosen = component(CATALOG, RegularizerEntry, key, params)
        terms = objective(
            model,
            x,
            y,
            regularizer=chosen.function,
            uses=chosen.entry.uses,
            masks=torch.ones_like(x[:, :1], dtype=torch.bool),
            lambda_=1.0,
            step=1,
            generator=torch.Generator(device).manual_seed(0),
        )
        gradients = torch.autograd.grad(terms.loss, list(model.parameters()))
    penalty = torch.zeros(()) if terms.penalty is None else terms.penalty
    return penalty.detach().cpu(), torch.cat([each.flatten() for each in gradients]).cpu()


@pytest.mark.parametrize(("key", "params"), EXACT, ids=str)
def test_a_penalty_and_its_gradient_are_those_of_the_cpu(key, params):
    difference = params.get("estimator") == "finite_difference"  # of two numbers that are rounded in float32
    for dtype, tolerance in ((torch.float64, 1e-7), (torch.float32, 2e-2 if difference else 2e-3)):
        expected, exact = penalty_and_gradient(torch.device("cpu"), key, params, dtype)
        penalty, gradient = penalty_and_gradient(GPU, key, params, dtype)
        torch.testing.assert_close(penalty, expected, rtol=tolerance, atol=0)
        assert (gradient - exact).norm() <= tolerance * exact.norm()


@pytest.mark.parametrize(("key", "params"), DRAWING, ids=str)
def test_random_penalties_are_repeated_by_their_seed(key, params):
    penalty, gradient = penalty_and_gradient(GPU, key, params, torch.float32)
    assert penalty.isfinite() and gradient.isfinite().all()
    again, same = penalty_and_gradient(GPU, key, params, torch.float32)
    assert torch.equal(penalty, again) and torch.equal(gradient, same)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("estimator", ["double_backward", "forward_mode", "finite_difference", "random_projection"])
def test_autocast_leaves_the_taylor_estimators_in_float32_and_the_exact_ones_near_it(estimator, half):
    expected, _ = penalty_and_gradient(GPU, "marginal_density", {"estimator": estimator}, torch.float32)
    penalty, _ = penalty_and_gradient(GPU, "marginal_density", {"estimator": estimator}, torch.float32, half)
    assert penalty.dtype == torch.float32
    exact = estimator in ("double_backward", "forward_mode")
    torch.testing.assert_close(penalty, expected, rtol=0.05 if exact else 1e-4, atol=0)


# training


def new_state():
    return TrainingState.new(
        seed=0,
        device=GPU,
        build_model=lambda: build_model(CATALOG, "mlp", MODEL, BLOCKMNIST),
        build_optimizer=lambda parameters: build_optimizer(CATALOG, "sgd", {"lr": 0.05}, parameters),
        ema_decay=0.9,
    )


def trained(state, *, estimator="double_backward", compute=CALM, stop_at=None, resident=None):
    reports = []
    with closing(Batches(TRAIN, batch_size=20, seed=0, device=GPU, resident=resident)) as batches:
        fit(
            state,
            batches,
            VALIDATION,
            TrainingConfig(
                lambda_=0.1,
                epochs=4,
                compute=compute,
                regularizer=component(CATALOG, "regularizer", "marginal_density", {"estimator": estimator}).function,
                schedule=component(CATALOG, "schedule", "constant").function,
            ),
            on_step=reports.append,
            should_stop=lambda: state.step == stop_at,
        )
    return small_runs.rows(reports)


def same_weights(one, two):
    return all(torch.equal(value, two.model.state_dict()[name]) for name, value in one.model.state_dict().items())


@pytest.mark.parametrize("estimator", ["double_backward", "forward_mode", "finite_difference", "random_projection"])
def test_a_stopped_run_goes_on_bit_for_bit_where_kernels_are_deterministic(estimator):
    whole = new_state()
    rows = trained(whole, estimator=estimator)
    assert len(rows) == 24 and next(whole.model.parameters()).is_cuda
    first = new_state()
    before = trained(first, estimator=estimator, stop_at=13)
    file = io.BytesIO()
    checkpoints.save(file, first)
    file.seek(0)
    second = new_state()
    torch.cuda.manual_seed(99)  # another process has another random state
    checkpoints.load(file, second)
    assert before + trained(second, estimator=estimator) == rows and same_weights(second, whole)


def test_images_on_the_gpu_and_in_pinned_memory_train_alike():
    one, two = new_state(), new_state()
    assert trained(one, resident=True) == trained(two, resident=False) and same_weights(one, two)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_trains_nearly_as_float32_does(precision):
    exact, near = (trained(new_state(), compute=ComputeConfig(each)) for each in ("float32", precision))
    losses = [[values["loss"] for _, _, values in rows] for rows in (exact, near)]
    assert losses[1] != losses[0] and losses[1] == pytest.approx(losses[0], rel=0.1)


def test_auto_is_bfloat16():
    assert ComputeConfig("auto").half(GPU) is torch.bfloat16


@pytest.mark.parametrize("estimator", ["forward_mode", "finite_difference"])
def test_a_compiled_model_trains_as_the_plain_one_does(estimator):
    plain, compiled = (
        trained(new_state(), estimator=estimator, compute=ComputeConfig("float32", compiled=each))
        for each in (False, True)
    )
    for (_, _, one), (_, _, two) in zip(plain, compiled, strict=True):
        assert two == pytest.approx(one, rel=1e-2, abs=1e-4)


# attributions


@pytest.mark.parametrize("key", [entry.key for entry in CATALOG.all("attribution")])
def test_an_attribution_is_that_of_the_cpu(key):
    model, x, target = network().eval(), torch.rand(5, 1, 16, 16), torch.arange(5) % 3
    method = component(CATALOG, "attribution", key).function
    expected = method(model, x, target)
    with CALM.applied(GPU):
        maps = method(model.to(GPU), x.to(GPU), target.to(GPU)).cpu()
    if key in ("smoothgrad", "gradient_shap"):  # these draw on the device
        assert torch.nn.functional.cosine_similarity(maps.flatten(), expected.flatten(), dim=0) > 0.9
    else:
        assert (maps - expected).norm() < 1e-4 * expected.norm()


# whole runs

MEASURES = [
    {"key": "leakage"},
    {"key": "pgd_linf", "params": {"epsilons": [0.1], "steps": 5, "samples": 200}},
    {"key": "square_linf", "params": {"epsilons": [0.1], "queries": 50, "samples": 50}},
    {"key": "pixel_perturbation", "params": {"samples": 100}},
    {"key": "density", "params": {"samples": 100}},
    {"key": "density_perturbation", "params": {"samples": 100}},
    {"key": "ood", "params": {"samples": 100}},
    {"key": "stability", "params": {"samples": 100}},
    {"key": "sensitivity", "params": {"samples": 100}},
]


def test_a_run_on_the_gpu_ends_as_on_the_cpu_with_nearly_the_same_figures(lab):
    results = {}
    for device in ("cpu", "auto"):
        run_id, task_id = lab.launch(device=device, precision="float32", epochs=4, evaluations=MEASURES)
        train.run(task_id)
        assert (lab.run(run_id).status, lab.run(run_id).error) == (Status.SUCCEEDED, None)
        for item in lab.evaluations(run_id).values():
            evaluate.run(item.task)
        assert {item.error for item in lab.evaluations(run_id).values()} == {None}
        results[device] = {name: result.value for name, result in lab.run(run_id).results.items()}
    run = lab.run(run_id)
    assert run.device == f"cuda ({torch.cuda.get_device_name()})" and run.provenance["device"] == run.device
    assert run.device in lab.log(run_id)
    evaluation = lab.evaluations(run_id)["stability"]
    assert evaluation.provenance["device"] == run.device
    assert results["cpu"].keys() == results["auto"].keys()
    for name in ("accuracy.accuracy", "leakage.share", "pgd_linf.accuracy", "square_linf.accuracy"):
        assert results["auto"][name] == pytest.approx(results["cpu"][name], abs=0.03), json.dumps(results, indent=1)
    for name in ("stability.cosine", "sensitivity.sensitivity_max"):
        assert results["auto"][name] == pytest.approx(results["cpu"][name], rel=0.1), json.dumps(results, indent=1)


def test_a_gpu_that_is_not_there_and_one_that_is_full_fail_with_a_sentence(lab):
    with pytest.raises(JobFailed, match="counted from 0"):
        choose_device("cuda:99")
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.001)
    try:
        run_id, task_id = lab.launch(device="cuda", batch_size=600, model={"key": "resnet18", "params": {}})
        train.run(task_id)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    run = lab.run(run_id)
    assert run.status is Status.FAILED
    assert "Out of memory on cuda: try batch_size 300 (now 600) or a smaller model." in run.error
