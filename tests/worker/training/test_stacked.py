"""Runs that train together: each as it would be alone, whatever the others do."""

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from densitylab.worker.algorithms.algorithm import Algorithm
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.resolve import build_model, build_optimizer, component
from densitylab.worker.training import checkpoints
from densitylab.worker.training.batches import Batches
from densitylab.worker.training.config import EarlyStop, TrainingConfig
from densitylab.worker.training.cross_entropy import CrossEntropy, balanced_weights
from densitylab.worker.training.double_backward import fast_double_backward
from densitylab.worker.training.loop import StepReport, TrainingDiverged, fit
from densitylab.worker.training.precision import ComputeConfig
from densitylab.worker.training.robust_share import RobustShare
from densitylab.worker.training.stacked.eligibility import obstacle
from densitylab.worker.training.stacked.gain import paying
from densitylab.worker.training.stacked.loop import StackedTraining
from densitylab.worker.training.stacked.member import Member
from densitylab.worker.training.state import TrainingState
from tests.worker.small_runs import BLOCKMNIST, CATALOG, TRAIN, VALIDATION, rows, weights

# seed, λ, learning rate, weight decay
SWEEP = ((0, 0.0, 0.01, 0.0), (0, 0.1, 0.01, 0.01), (1, 0.3, 0.02, 0.0), (2, 1.0, 0.005, 0.1))
SMOOTH = ("mlp", {"hidden": 16, "activation": "silu"})
BATCH_NORM = ("cnn", {"width": 4, "norm": "batch", "activation": "gelu", "pooling": "average"})
MASKED = replace(TRAIN, masks=torch.rand(len(TRAIN), 1, 56, 28, generator=torch.Generator().manual_seed(3)) > 0.5)


class DoubleBatches(Batches):
    """Batches in float64, where two orders of the same sums agree to many digits."""

    def at(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = super().at(step)
        return x.double(), y


def function(kind: str, key: str, params: dict[str, Any] | None = None) -> Callable[..., Any]:
    return component(CATALOG, kind, key, params or {}).function


def new_member(
    seed: int = 0,
    lambda_: float = 0.1,
    lr: float = 0.01,
    weight_decay: float = 0.0,
    *,
    penalty: tuple[str, dict[str, Any]] = ("marginal_density", {}),
    optimizer: tuple[str, dict[str, Any]] = ("sgd", {}),
    model: tuple[str, dict[str, Any]] = SMOOTH,
    data: Dataset = TRAIN,
    double: bool = True,
    device: str = "cpu",
    ema_decay: float | None = None,
    drawn: dict[str, Any] | None = None,
    **options: Any,
) -> Member:
    key, params = optimizer
    settings = {**params, "lr": lr, "weight_decay": weight_decay}

    def network() -> torch.nn.Module:
        made = build_model(CATALOG, *model, BLOCKMNIST)
        return made.double() if double else made

    state = TrainingState.new(
        seed=seed,
        device=device,
        build_model=network,
        build_optimizer=lambda parameters: build_optimizer(CATALOG, key, settings, parameters),
        threads=1,
        ema_decay=ema_decay,
    )
    config = TrainingConfig(
        regularizer=function("regularizer", *penalty),
        lambda_=lambda_,
        **{"schedule": function("schedule", "constant"), "epochs": 3, **options},
    )
    kind = DoubleBatches if double else Batches
    return Member(state, config, kind(data, batch_size=20, seed=seed, device=device, **(drawn or {})))


def sweep(**options: Any) -> list[Member]:
    return [new_member(*each, **options) for each in SWEEP]


def alone(member: Member, steps: int | None = None) -> list[StepReport]:
    reports: list[StepReport] = []
    state = member.state
    fit(
        state,
        member.batches,
        VALIDATION,
        member.config,
        on_step=reports.append,
        should_stop=lambda: state.step == steps,
    )
    return reports


def together(members: Sequence[Member], steps: int | None = None) -> list[list[StepReport]]:
    """Train to the end, or up to a step, and return the reports of each member."""
    reports: dict[Member, list[StepReport]] = {member: [] for member in members}
    with StackedTraining(members, VALIDATION) as training:
        while training.members and training.members[0].state.step != steps:
            for member, report in training.step().items():
                assert isinstance(report, StepReport)
                reports[member].append(report)
            training.leave([member for member in training.members if training.ended(member)])
        training.write_back()
    return [reports[member] for member in members]


def assert_equal(members: list[Member], reports: list[list[StepReport]], single: list[Member], error: float) -> None:
    """Compare with the same runs, trained alone here."""
    for member, curves, other in zip(members, reports, single, strict=True):
        expected = rows(alone(other))
        assert len(expected) == len(curves)
        for (step, epoch, values), (own_step, own_epoch, own) in zip(expected, rows(curves), strict=True):
            assert (own_step, own_epoch) == (step, epoch)
            assert own == pytest.approx(values, rel=error, abs=error), step
        assert member.state.controller.lambda_ == pytest.approx(other.state.controller.lambda_, rel=error)
        for name, value in weights(other.state).items():
            torch.testing.assert_close(weights(member.state)[name], value, rtol=error, atol=error)
        stored, own_stored = other.state.optimizer.state_dict(), member.state.optimizer.state_dict()
        assert own_stored["param_groups"] == stored["param_groups"]
        torch.testing.assert_close(own_stored["state"], stored["state"], rtol=error, atol=error)
        assert torch.equal(member.state.penalty_generator.get_state(), other.state.penalty_generator.get_state())


@pytest.mark.parametrize("optimizer", [("sgd", {}), ("sgd", {"momentum": 0.0}), ("adam", {}), ("adamw", {})])
@pytest.mark.parametrize(
    ("penalty", "options"),
    [
        (("none", {}), {"gradient_clip": 0.5}),
        (("marginal_density", {}), {}),
        (("marginal_density", {"estimator": "random_projection"}), {"every": 4}),
        (("marginal_density", {"estimator": "finite_difference", "power": 1}), {}),
        (("input_gradient", {"target": "log_prob", "p_norm": "1", "power": 1}), {}),
        (("jacobian", {}), {}),
        (("curvature", {}), {}),
        (("gaussian_noise", {}), {"uses": ("cross_entropy",), "cross_entropy": CrossEntropy(0.1)}),
        (("adversarial_training", {"steps": 2, "p_norm": "2"}), {}),
        (("fast_adversarial_training", {}), {}),
        (("trades", {"steps": 2}), {}),
        (("right_reasons", {}), {"uses": ("masks",), "data": MASKED}),
    ],
    ids=lambda value: "-".join(map(str, (value[0], *value[1].values()))) if isinstance(value, tuple) else "",
)
@pytest.mark.few(13)
def test_a_member_equals_its_single_run(penalty: Any, options: Any, optimizer: Any):
    settings = {"penalty": penalty, "optimizer": optimizer, **options}
    members = sweep(**settings)
    assert obstacle(members[0]) is None
    assert_equal(members, together(members), sweep(**settings), 1e-9)


@pytest.mark.parametrize(
    "options",
    [
        {"model": ("cnn", {"width": 4, "norm": "group", "activation": "gelu", "pooling": "average"})},
        {"model": ("cnn", {"width": 4})},
        {"cross_entropy": CrossEntropy(0.1, balanced_weights(TRAIN.labels, 10).double())},
        {"lr_schedule": function("lr_schedule", "cosine"), "schedule": function("schedule", "cosine", {"start": 0.0})},
        {
            "schedule": function("schedule", "budget", {"cross_entropy": 2.0, "wait": 0.0}),
            "observes": ("cross_entropy", "gradient_norm"),
        },
        {"drawn": {"sampling": "class_balanced"}, "deterministic": True},
        {"drawn": {"augmentation": function("augmentation", "random_crop")}},
    ],
    ids=["group norm", "max pooling", "class weights", "schedules", "controller", "balanced", "augmentation"],
)
def test_a_member_equals_its_single_run_with_other_options(options: dict[str, Any]):
    if options.pop("deterministic", False):
        options["compute"] = ComputeConfig(deterministic=True)
    members = sweep(**options)
    assert obstacle(members[0]) is None
    assert_equal(members, together(members), sweep(**options), 1e-9)


@pytest.mark.parametrize(
    ("penalty", "options"),
    [
        (("none", {}), {}),
        (("marginal_density", {}), {}),
        (("marginal_density", {}), {"optimizer": ("adam", {})}),
        (("marginal_density", {"estimator": "finite_difference"}), {"every": 2}),
        (("gaussian_noise", {}), {"uses": ("cross_entropy",)}),
        (("adversarial_training", {"steps": 2}), {}),
        (("curvature", {}), {}),
        (("trades", {"steps": 2}), {}),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
@pytest.mark.few(4)
def test_a_member_with_batch_norm_has_the_weights_and_statistics_of_its_single_run(penalty: Any, options: Any):
    """Penalties pass a second time, in training mode without an update of the statistics, or in eval mode.

    The gradient of a bias in front of a batch norm is 0 but for rounding, and Adam divides it by its own size.
    """
    settings = {"model": BATCH_NORM, "penalty": penalty, "epochs": 2, **options}
    members = sweep(**settings)
    assert obstacle(members[0]) is None
    first = weights(members[0].state)
    assert_equal(members, together(members), sweep(**settings), 1e-6 if "optimizer" in options else 1e-9)
    for member in members:
        last, steps = weights(member.state), member.state.step
        counts = [value for name, value in last.items() if name.endswith("num_batches_tracked")]
        assert counts and steps > 2 and {int(count) for count in counts} == {steps}
        assert all(not torch.equal(last[name], first[name]) for name in last if "running" in name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize("key", ["marginal_density", "jacobian"])
def test_a_member_equals_its_single_run_on_a_gpu(key: str, norm: str):
    options = {"penalty": (key, {}), "device": "cuda", "compute": ComputeConfig("float32", deterministic=True)}
    members = sweep(model=("cnn", {"width": 4, "norm": norm, "activation": "gelu"}), **options)
    single = sweep(model=("cnn", {"width": 4, "norm": norm, "activation": "gelu"}), **options)
    assert paying(members[0], 64) in (1, 64)
    assert_equal(members, together(members), single, 1e-9)


def test_float32_agrees_to_five_digits():
    members = sweep(double=False)
    assert_equal(members, together(members), sweep(double=False), 1e-5)


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_second_derivatives_of_a_gpu_are_those_of_the_stack_too(norm: str):
    options = {"model": ("cnn", {"width": 4, "norm": norm, "activation": "gelu", "pooling": "average"}), "epochs": 1}
    members = sweep(**options)
    with fast_double_backward(torch.device("cpu")):
        reports = together(members)
    assert_equal(members, reports, sweep(**options), 1e-9)


def test_bfloat16_agrees_to_its_two_digits():
    options = {"double": False, "compute": ComputeConfig("bfloat16"), "epochs": 1}
    members = sweep(**options)
    for member, curves, other in zip(members, together(members), sweep(**options), strict=True):
        for (_, _, values), (_, _, own) in zip(rows(alone(other)), rows(curves), strict=True):
            assert own == pytest.approx(values, rel=0.05, abs=0.05)
        for name, value in weights(other.state).items():
            torch.testing.assert_close(weights(member.state)[name], value, rtol=0.02, atol=0.02)


def test_members_that_stop_early_leave_with_their_best_weights():
    options = {"early_stop": EarlyStop(1, "validation_accuracy"), "epochs": 8}
    members, single = sweep(**options), sweep(**options)
    reports = together(members)
    assert_equal(members, reports, single, 1e-9)
    assert len({len(each) for each in reports}) > 1
    for member, other in zip(members, single, strict=True):
        assert member.state.best.epoch == other.state.best.epoch
        torch.testing.assert_close(member.state.best.weights, other.state.best.weights, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("model", [SMOOTH, ("cnn", {"width": 4}), BATCH_NORM], ids=["mlp", "cnn", "batch norm"])
def test_stopped_and_resumed_runs_have_the_same_bits(model: Any):
    settings = {
        "double": False,
        "model": model,
        "optimizer": ("adam", {}),
        "penalty": ("marginal_density", {"estimator": "random_projection"}),
        "epochs": 2,
    }
    undisturbed = sweep(**settings)
    expected = together(undisturbed)
    for steps in (1, 7):
        before = sweep(**settings)
        first = together(before, steps)
        after = sweep(**settings)
        for member, saved in zip(after, before, strict=True):
            file = io.BytesIO()
            checkpoints.save(file, saved.state)
            checkpoints.load(file.getvalue(), member.state)
        rest = together(after)
        assert [rows(a + b) for a, b in zip(first, rest, strict=True)] == [rows(each) for each in expected]
        for member, other in zip(after, undisturbed, strict=True):
            assert all(torch.equal(weights(member.state)[name], value) for name, value in weights(other.state).items())


def test_a_stored_member_goes_on_alone():
    members, single = sweep(optimizer=("adam", {})), sweep(optimizer=("adam", {}))
    first = together(members, 7)
    rest = [alone(member) for member in members]
    assert_equal(members, [a + b for a, b in zip(first, rest, strict=True)], single, 1e-9)


def test_the_divergence_of_one_leaves_the_others_alone():
    members = sweep()
    broken = new_member(lambda_=0.1, lr=1e30)
    single = sweep()
    reports: dict[Member, list[StepReport]] = {member: [] for member in members}
    with StackedTraining([members[0], broken, *members[1:]], VALIDATION) as training:
        while training.members:
            for member, report in training.step().items():
                if isinstance(report, TrainingDiverged):
                    assert member is broken and "smaller learning rate" in str(report)
                    training.leave([member])
                elif member is not broken:
                    reports[member].append(report)
            training.leave([member for member in training.members if training.ended(member)])
    assert broken.state.step < members[0].state.step
    assert_equal(members, [reports[member] for member in members], single, 1e-9)


def test_members_must_be_at_the_same_step():
    members = sweep()
    alone(members[1], 3)
    with pytest.raises(ValueError, match="at the same step"):
        StackedTraining(members, VALIDATION)


def plain(model: object, x: torch.Tensor, logits: torch.Tensor, y: torch.Tensor, **_: object) -> torch.Tensor:
    return torch.zeros(len(x))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model": ("mlp", {"dropout": 0.2})}, "dropout"),
        ({"penalty": ("marginal_density", {"estimator": "forward_mode"})}, "orward mode"),
        ({"robust_share": RobustShare(every=10, epsilon=0.1, attack_steps=1, samples=10)}, "validation images"),
        ({"ema_decay": 0.9}, "averages"),
        ({"drawn": {"mixing": function("augmentation", "mixup")}}, "mixes"),
        ({"parts": 2}, "parts of batches"),
        ({"activation_checkpointing": True}, "activation checkpointing"),
        ({"compute": ComputeConfig(compiled=True)}, "compiled"),
        ({"compute": ComputeConfig("float16")}, "float16"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_what_is_left_out_has_a_reason(options: dict[str, Any], reason: str):
    assert reason in (obstacle(new_member(**options)) or "")


def test_frozen_weights_own_components_and_other_optimizers_have_a_reason():
    member = new_member()
    assert obstacle(member) is None
    assert "each image on its own" in (
        obstacle(replace(member, config=replace(member.config, regularizer=plain))) or ""
    )

    class Weighing(Algorithm):
        pass

    member.state.algorithm = Weighing()
    assert "algorithm" in (obstacle(member) or "")
    member.state.algorithm = Algorithm()
    parameters = list(member.state.model.parameters())
    for optimizer in (
        torch.optim.RMSprop(parameters),
        torch.optim.SGD(parameters, momentum=0.9, nesterov=True),
        torch.optim.Adam(parameters, amsgrad=True),
        torch.optim.Adam(parameters, decoupled_weight_decay=True),
        torch.optim.SGD([{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.1}]),
    ):
        member.state.optimizer = optimizer
        assert "optimizer" in (obstacle(member) or "")
    next(member.state.model.parameters()).requires_grad_(False)
    assert "frozen" in (obstacle(member) or "")


def test_trying_whether_it_pays_leaves_the_run_as_it_is():
    member, other = (new_member(penalty=("jacobian", {}), double=False) for _ in range(2))
    alone(member, 3)
    assert paying(member, 4, measure=False) == 4
    assert paying(member, 4) in (1, 4)
    alone(member)
    alone(other)
    assert all(torch.equal(weights(member.state)[name], value) for name, value in weights(other.state).items())
