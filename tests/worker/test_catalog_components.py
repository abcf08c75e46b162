"""Every catalog entry: its path resolves, its keywords are its parameters, and it runs on four small images.

A new component is one file and one entry, and is tested here without further changes.
"""

import copy
import importlib.util
import inspect
import re

import pytest
import torch

from densitylab.backend.shared.catalog import Catalog, UnknownKey
from densitylab.backend.shared.statistics.bounds import bounds_of
from densitylab.worker.algorithms.algorithm import TrainingSamples
from densitylab.worker.datasets.corrupted import Corrupted
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.result import Result
from densitylab.worker.resolve import build_model, build_optimizer, component, load, load_split
from densitylab.worker.schedules.controller_state import ControllerState
from densitylab.worker.training.cross_entropy import CrossEntropy

CATALOG = Catalog.built_in()

# arguments of a kind's caller: positional, and keywords besides the entry's own parameters
POSITIONAL = {
    "dataset": ["root", "source"],
    "model": ["channels", "image_size", "num_classes"],
    "regularizer": ["model", "x", "logits", "y"],
    "schedule": ["lambda_", "step", "total_steps", "state"],
    "optimizer": ["parameters"],
    "lr_schedule": ["step", "total_steps"],
    "augmentation": ["images"],
    "algorithm": ["samples"],
    "attack": ["model", "x", "y"],
    "attribution": ["model", "x", "target"],
    "perturbation": ["model", "x", "target"],
    "evaluation": ["model", "data"],
}
CONTEXT = {
    "dataset": {"progress", "should_stop"},
    "regularizer": {"generator"},
    "augmentation": {"generator"},
    "attack": {"generator"},
    "perturbation": {"generator"},
    "evaluation": {"generator", "progress", "should_stop"},
}
ENTRIES = [
    pytest.param(kind, entry, id=f"{kind}-{entry.key}")
    for kind in CATALOG.by_kind
    for entry in CATALOG.all(kind)
    if entry.has_callable
]


def entries(kind):
    return [pytest.param(entry, id=entry.key) for entry in CATALOG.all(kind)]


def images(entry):
    """Four images of two groups with the shape, classes and mask that a data set's entry states."""
    generator = torch.Generator().manual_seed(0)
    shape = (4, entry.channels, *entry.image_size)
    mask = torch.zeros(4, 1, *entry.image_size, dtype=torch.bool)
    mask[:, :, : entry.image_size[0] // 2] = True
    return Dataset(
        torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8),
        torch.arange(4) % entry.num_classes,
        mask if entry.has_mask else None,
        torch.arange(4) % 2,
    )


LARGE = ("resnet34", "resnet50", "wide_resnet28_10")  # these take seconds for each shape


@pytest.fixture(scope="module")
def dataset():
    return CATALOG.find("dataset", "blockmnist")


@pytest.fixture
def batch(dataset):
    data = images(dataset)
    return data.images / 255, data.labels


@pytest.fixture
def model(dataset):
    torch.manual_seed(0)
    return build_model(CATALOG, "mlp", {"hidden": 8, "activation": "gelu"}, dataset).eval()


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(("kind", "entry"), ENTRIES)
def test_the_signature_is_the_kinds_and_the_keywords_are_the_params(kind, entry):
    parameters = inspect.signature(load(entry)).parameters.values()
    positional = [p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    embedded = kind == "dataset" and entry.embedded
    assert positional == [name for name in POSITIONAL[kind] if not (embedded and name == "source")]
    keywords = {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    own = {param.name: param for param in entry.params if param.used_by == "component"}
    context = CONTEXT.get(kind, set()) | set(entry.uses if kind in ("evaluation", "regularizer") else ())
    assert context <= keywords.keys()
    assert keywords.keys() - context == own.keys()
    for name, param in own.items():
        default = keywords[name]
        if default is inspect.Parameter.empty or param.type in ("component", "run"):
            continue  # always passed by resolve
        assert (list(default) if param.type == "floats" else default) == param.default, name
        assert type(default) is type(param.default) or param.type == "floats", name


@pytest.mark.parametrize(("kind", "entry"), ENTRIES)
def test_the_defaults_are_values_that_the_entry_accepts(kind, entry):
    for param in entry.params:
        if param.type == "component" and not param.optional:
            assert CATALOG.find(param.kind, param.default["key"])
        elif param.type != "run":  # which has no default
            assert param.check(param.default) == (param.default, None), param.name


@pytest.mark.parametrize(("kind", "entry"), ENTRIES)
def test_the_callable_has_a_docstring(kind, entry):
    assert inspect.getdoc(load(entry))
    assert inspect.getdoc(importlib.import_module(entry.path.partition(":")[0]))


@pytest.mark.parametrize("entry", entries("dataset"))
def test_a_data_set_is_what_its_entry_says(entry, tmp_path):
    if not entry.embedded:
        pytest.skip("needs a download")
    prepare = component(CATALOG, "dataset", entry.key).function
    prepare(tmp_path, progress=lambda share: None, should_stop=lambda: False)
    for split in ("train", "validation", "test"):
        data = load_split(entry, tmp_path, split)
        assert data.images.shape[1:] == (entry.channels, *entry.image_size)
        assert data.images.dtype == torch.uint8 and data.labels.dtype == torch.int64
        assert data.labels.unique().tolist() == list(range(entry.num_classes))
        assert (data.masks is not None) == entry.has_mask and (data.groups is not None) == entry.has_groups
        if split == "train":
            assert len(data) == entry.train_size
    assert len(entry.mean) == len(entry.std) == entry.channels
    assert len(entry.class_names) == entry.num_classes
    assert CATALOG.find("augmentation", entry.augmentation)


@pytest.mark.parametrize(
    "data_entry",
    [
        pytest.param(entry, id=entry.key)
        for entry in {(entry.channels, entry.image_size): entry for entry in CATALOG.all("dataset")}.values()
    ],
)
@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(entry, id=entry.key, marks=[pytest.mark.slow] if entry.key in LARGE else [])
        for entry in CATALOG.all("model")
    ],
)
@pytest.mark.few(21)
def test_a_model_gives_logits_for_every_shape_of_data(entry, data_entry):
    if entry.package is not None and importlib.util.find_spec(entry.package) is None:
        pytest.skip(f"needs {entry.package}, which is not installed")
    divisor = entry.param(entry.side_multiple_of).default if entry.side_multiple_of else 1
    if min(data_entry.image_size) < (entry.min_image_size or 1) or any(
        side % divisor for side in data_entry.image_size
    ):
        pytest.skip("a launch of this model with this data set is refused")
    data = images(data_entry)
    logits = build_model(CATALOG, entry.key, {}, data_entry)(data.images / 255)
    assert logits.shape == (4, data_entry.num_classes) and logits.isfinite().all()
    if entry.min_image_size is not None:
        side = entry.min_image_size
        assert load(entry)(3, (side, side), 5).eval()(torch.rand(4, 3, side, side)).shape == (4, 5)


@pytest.mark.parametrize("entry", entries("regularizer"))
def test_a_regularizer_gives_a_penalty_per_sample(entry, model, batch):
    x, y = batch
    x.requires_grad_(True)
    mask = torch.zeros(4, 1, *x.shape[2:], dtype=torch.bool)
    mask[:, :, :10] = True
    per_sample = CrossEntropy(label_smoothing=0.1).per_sample
    offered = {"masks": mask, "cross_entropy": per_sample, "replace_logits": [].append}
    penalty = component(CATALOG, "regularizer", entry.key).function(
        model, x, model(x), y, generator=generator(), **{name: offered[name] for name in entry.uses}
    )
    assert penalty.shape == (4,) and penalty.isfinite().all()
    assert bool(penalty.any()) == entry.penalises


@pytest.mark.parametrize("entry", entries("schedule"))
def test_a_schedule_gives_lambda_at_every_step(entry):
    schedule = component(CATALOG, "schedule", entry.key).function
    for lambda_ in (0.5, 0.0):
        values, state = [], ControllerState()
        for step in range(1, 11):
            values.append(schedule(lambda_, step, 10, state))
            state = state.after(values[-1], cross_entropy=0.1, squared_gradient_norm=4.0)
        assert all(isinstance(value, float) and value >= 0 for value in values)
        assert any(values) == (lambda_ > 0)


@pytest.mark.parametrize("entry", entries("optimizer"))
def test_an_optimizer_lowers_a_loss(entry):
    parameter = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = build_optimizer(CATALOG, entry.key, {}, [parameter])
    for _ in range(3):
        optimizer.zero_grad()
        parameter.square().sum().backward()
        optimizer.step()
    assert parameter.item() < 1
    settings = {param.name: param.default for param in entry.params}
    assert settings.items() <= optimizer.param_groups[0].items()


@pytest.mark.parametrize("entry", entries("lr_schedule"))
def test_a_schedule_of_the_learning_rate_gives_a_factor_at_every_step(entry):
    factors = [component(CATALOG, "lr_schedule", entry.key).function(step, 10) for step in range(1, 11)]
    assert all(isinstance(factor, float) and 0 <= factor <= 1 for factor in factors) and factors[0] == 1


@pytest.mark.parametrize("entry", entries("augmentation"))
def test_an_augmentation_gives_images_like_those_it_got(entry, dataset):
    stored = images(dataset).images
    before = stored.clone()
    function = component(CATALOG, "augmentation", entry.key).function
    if entry.mixes:
        x = stored / 255
        mixed = function(x, generator=generator())
        assert mixed.images.shape == x.shape and mixed.partner.shape == mixed.share.shape == (4,)
        return
    changed = function(stored, generator=generator())
    assert changed.shape == stored.shape and changed.dtype == torch.uint8
    assert torch.equal(stored, before)


@pytest.mark.parametrize("entry", entries("algorithm"))
def test_an_algorithm_does_what_it_announces(entry, dataset):
    data = images(dataset)
    losses = torch.tensor([0.5, 1.0, 1.5, 2.0])

    def built():
        samples = TrainingSamples(data.labels, data.groups, dataset.num_classes, torch.device("cpu"))
        return component(CATALOG, "algorithm", entry.key).function(samples)

    algorithm, other = built(), built()
    if algorithm.weighs_losses:
        weights = algorithm.loss_weights(losses if algorithm.needs_losses else None, data.labels, data.groups)
        assert weights.shape == (4,) and (weights >= 0).all() and weights.dtype == torch.float32
    if algorithm.first_stage:
        algorithm.start_over(data.labels.roll(1))
    if algorithm.retrains_head:
        features = torch.randn(40, 3, generator=generator(), dtype=torch.float64)
        labels, groups = torch.arange(40) % dataset.num_classes, torch.arange(40) % 4
        weight, bias = algorithm.retrain_head(features, labels, groups, seed=0)
        assert weight.shape == (dataset.num_classes, 3) and bias.shape == (dataset.num_classes,)
    drawn = algorithm.sampling_weights()
    assert drawn is None or (drawn.shape == (4,) and drawn.min() >= 0 < drawn.max())
    other.load_state_dict(algorithm.state_dict())
    assert (other.sampling_weights() is None) == (drawn is None)
    assert entry.describe({param.name: param.default for param in entry.params}, 15).count("{") == 0


@pytest.mark.parametrize("entry", entries("attack"))
def test_an_attack_stays_in_the_image_range_and_leaves_the_model_alone(entry, model, batch):
    if entry.package is not None and importlib.util.find_spec(entry.package) is None:
        pytest.skip(f"needs {entry.package}, which is not installed")
    x, _ = batch
    y = model(x).argmax(1)
    attack = component(CATALOG, "attack", entry.key, {"steps": 3} if entry.param("steps") else {}).function
    x_adv = attack(model, x, y, generator=generator())
    assert x_adv.shape == x.shape and x_adv.min() >= 0 and x_adv.max() <= 1
    assert not torch.equal(x_adv, x)
    assert all(parameter.grad is None for parameter in model.parameters()) and not model.training


@pytest.mark.parametrize("entry", entries("attribution"))
def test_an_attribution_is_shaped_like_x_and_leaves_the_model_alone(entry, model, batch, dataset):
    x, _ = batch
    if entry.needs_convolutions or entry.needs_activation:
        torch.manual_seed(0)
        model = build_model(CATALOG, "cnn", {"width": 4, "activation": "relu"}, dataset).eval()
    target = torch.tensor([0, 1, 2, 0])
    attributions = component(CATALOG, "attribution", entry.key).function(
        model, x, target if entry.needs_target else None
    )
    assert attributions.shape == x.shape and attributions.isfinite().all()
    assert (attributions < 0).any() == entry.signed
    assert all(parameter.grad is None for parameter in model.parameters()) and not model.training
    assert x.grad is None and not x.requires_grad


@pytest.mark.parametrize("entry", entries("perturbation"))
def test_a_perturbation_changes_images_within_their_range_and_leaves_the_model_alone(entry, model, batch):
    x, _ = batch
    target = model(x).argmax(1)
    perturbed = component(CATALOG, "perturbation", entry.key).function(model, x, target, generator=generator())
    assert perturbed.images.shape == x.shape and not torch.equal(perturbed.images, x)
    assert perturbed.images.min() >= 0 and perturbed.images.max() <= 1
    one, other = perturbed.align(x, perturbed.images)
    assert one.shape == other.shape
    assert all(parameter.grad is None for parameter in model.parameters()) and not model.training


@pytest.mark.parametrize("entry", entries("evaluation"))
def test_an_evaluation_gives_numbers_with_n_and_interval(entry, model, dataset):
    data = images(dataset)
    shares = []
    params = {"steps": 3} if entry.param("steps") else {}
    if entry.package is not None and importlib.util.find_spec(entry.package) is None:
        pytest.skip(f"needs {entry.package}, which is not installed")
    offered = {
        "train_data": lambda: data,
        "fresh_model": lambda: copy.deepcopy(model),
        "prior_results": [],
        "corruptions": Corrupted(lambda corruption, severity, indices: data, data.labels.numpy()),
    }
    named = {param.name: model for param in entry.params if param.type == "run"}
    result = component(CATALOG, "evaluation", entry.key, params).function(
        model,
        data,
        generator=generator(),
        progress=shares.append,
        should_stop=lambda: False,
        **{name: offered[name] for name in entry.uses},
        **named,
    )
    assert isinstance(result, Result) and result.values
    for metric in entry.metrics:
        assert result.values[metric.name].higher_is_better == metric.higher_is_better
        assert set(re.findall(r"{(\w+)}", metric.label)) <= {param.name for param in entry.params}
    for name, value in result.values.items():
        assert 0 <= value.n <= 8  # four of the test set and four others
        if value.value is not None and value.low is not None:
            low, high = bounds_of(name, entry.ranges)
            assert low - 1e-6 <= value.low <= value.value <= value.high <= high + 1e-6, name
    for name, curve in result.curves.items():
        low, high = bounds_of(name, entry.ranges)
        assert all(low - 1e-6 <= y <= high + 1e-6 for y in curve.y if y is not None), name
    assert all(len(array) == 4 for name, array in result.arrays.items() if "/" not in name)
    assert shares == sorted(shares) and shares[-1] == 1


def test_component_params_arrive_as_callables(dataset):
    leakage = component(
        CATALOG, "evaluation", "leakage", {"attribution": {"key": "smoothgrad", "params": {"samples": 3}}}
    )
    bound = leakage.function.keywords["attribution"]
    assert bound.func is load(CATALOG.find("attribution", "smoothgrad"))
    assert bound.keywords == {"samples": 3, "sigma": 0.1, "seed": 0}


def test_trainer_params_are_split_off():
    smoothing = component(CATALOG, "regularizer", "marginal_density", {"every": 4, "h": 0.02})
    assert smoothing.trainer == {"every": 4}
    assert smoothing.function.keywords == {"estimator": "double_backward", "p_norm": "2", "power": 2, "h": 0.02}


def test_unknown_names_are_refused():
    with pytest.raises(
        UnknownKey,
        match=r"on offer: none, marginal_density.*; one of your own comes from a plug-in \(docs/plugins.md\)",
    ):
        component(CATALOG, "regularizer", "dropout")
    with pytest.raises(ValueError, match="has no parameter rate; it has: lr, momentum, weight_decay"):
        component(CATALOG, "optimizer", "sgd", {"rate": 0.1})
