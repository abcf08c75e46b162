"""VGG11, ResNets, the vision transformer and timm's networks, compared with torchvision."""

import importlib.util

import pytest
import torch
import torchvision
from torch import nn

from densitylab.backend.shared.catalog import Catalog, ModelEntry, network_cost
from densitylab.worker.autograd import random_state, replay
from densitylab.worker.models import resnet, timm, vgg, vit
from densitylab.worker.models.pretrained import NoPretrainedWeights
from densitylab.worker.regularizers.marginal_density import marginal_density
from densitylab.worker.resolve import build_model

CATALOG = Catalog.built_in()

NETWORKS = {
    "vgg11": vgg.vgg11,
    "resnet18": resnet.resnet18,
    "resnet34": resnet.resnet34,
    "resnet50": resnet.resnet50,
    "vit": vit.build,
}
needs_timm = pytest.mark.skipif(importlib.util.find_spec("timm") is None, reason="timm is not installed")


def published(network):
    """Torchvision's network with random weights and statistics."""
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                for tensor in (layer.weight, layer.bias, layer.running_mean):
                    tensor.normal_(0.5, 0.1)
                layer.running_var.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_a_pretrained_resnet_is_torchvisions_but_for_the_head(depth, store):
    theirs = published(getattr(torchvision.models, f"resnet{depth}")(weights=None))
    store(f"resnet{depth}", theirs)
    build = getattr(resnet, f"resnet{depth}")
    ours = build(3, (96, 128), 7, pooling="max", pretrained=True).eval()
    theirs.fc = ours.fc
    x = torch.rand(2, 3, 96, 128)
    torch.testing.assert_close(ours(x), theirs(x))
    small = build(1, (32, 32), 7, pooling="max", pretrained=True)  # its own first convolution, the rest loaded
    assert small.conv1.weight.shape == (64, 1, 3, 3)
    assert torch.equal(small.layer4[1].conv2.weight, theirs.layer4[1].conv2.weight)
    assert torch.equal(small.layer1[0].conv1.weight, theirs.layer1[0].conv1.weight)


@pytest.mark.parametrize(("norm", "name"), [("none", "vgg11"), ("batch", "vgg11_bn")])
def test_a_pretrained_vgg_has_torchvisions_features(norm, name, store):
    # the features alone: the published head has 124 million weights
    configuration = torchvision.models.vgg.cfgs["A"]
    theirs = published(torchvision.models.vgg.make_layers(configuration, batch_norm=norm == "batch"))
    weights = {f"features.{key}": value for key, value in theirs.state_dict().items()}
    store(name, weights | {"classifier.0.weight": torch.zeros(2)})
    ours = vgg.vgg11(3, (64, 64), 7, norm=norm, pretrained=True).eval()
    x = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(ours.features(x), theirs(x))
    assert ours(x).shape == (2, 7)
    assert vgg.vgg11(1, (32, 32), 7, norm=norm, pretrained=True).features[0].weight.shape == (64, 1, 3, 3)


def test_damaged_pretrained_weights_are_refused_with_one_sentence(cache, store):
    store("resnet18", torchvision.models.resnet18(weights=None))
    (file,) = cache.iterdir()
    for content in (b"", b"no weights", file.read_bytes()[:-1000]):
        file.write_bytes(content)
        with pytest.raises(NoPretrainedWeights, match=rf"are damaged: delete {file.name} in torch's cache") as refused:
            resnet.resnet18(3, (32, 32), 7, pretrained=True)
        assert "weights_only" not in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("build", [resnet.resnet18, vgg.vgg11])
def test_pretrained_weights_offline_are_refused_with_one_sentence(build, cache):
    with pytest.raises(NoPretrainedWeights, match=r"go online, put that file into .* or train with pretrained off"):
        build(3, (32, 32), 7, pretrained=True)


def test_weights_that_a_checkpoint_replaces_are_not_fetched(cache):
    published = {"pooling": "max", "pretrained": True}
    blockmnist = CATALOG.find("dataset", "blockmnist")
    with pytest.raises(NoPretrainedWeights):
        build_model(CATALOG, "resnet18", published, blockmnist)
    network = build_model(CATALOG, "resnet18", published, blockmnist, weights_follow=True)
    assert network(torch.rand(2, 1, 56, 28)).shape == (2, 10)


@pytest.mark.parametrize(
    ("build", "norm"), [(resnet.resnet18, "group"), (resnet.resnet18, "none"), (vgg.vgg11, "group")]
)
def test_pretrained_weights_of_another_norm_do_not_exist(build, norm):
    with pytest.raises(NoPretrainedWeights, match=f"not with {norm}"):
        build(3, (32, 32), 7, norm=norm, pretrained=True)


@pytest.mark.parametrize(("size", "kernel", "sides"), [((32, 32), 3, 32), ((95, 200), 3, 95), ((96, 96), 7, 24)])
def test_the_stem_depends_on_the_image_size(size, kernel, sides):
    network = resnet.resnet18(3, size, 5)
    assert network.conv1.kernel_size == (kernel, kernel)
    with torch.no_grad():
        assert network.pool(network.act(network.conv1(torch.rand(1, 3, *size)))).shape[2] == sides


@pytest.mark.parametrize("build", [resnet.resnet18, resnet.resnet50])
def test_a_resnet_without_norm_begins_as_identities(build):
    network = build(1, (16, 16), 5, norm="none")
    width = network.layer1[-1].conv1.in_channels
    x = torch.rand(2, width, 8, 8)
    assert torch.equal(network.layer1[1:](x), x)
    assert not any(isinstance(layer, nn.BatchNorm2d | nn.GroupNorm) for layer in network.modules())


@pytest.mark.parametrize("size", [(16, 16), (56, 28), (33, 47)])
@pytest.mark.parametrize("pooling", ["max", "average"])
def test_vgg_takes_images_whose_sides_are_no_multiples_of_32(size, pooling):
    assert vgg.vgg11(1, size, 4, pooling=pooling)(torch.rand(2, 1, *size)).shape == (2, 4)


def test_the_width_of_a_vgg_is_that_of_its_stages():
    layers = [layer for layer in vgg.vgg11(3, (32, 32), 10, width=16).modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in layers] == [16, 32, 64, 64, 128, 128, 128, 128]
    with pytest.raises(NoPretrainedWeights, match="with width 64, not with 16"):
        vgg.vgg11(3, (32, 32), 10, width=16, pretrained=True)


@pytest.mark.parametrize("width", [16, 64])
def test_the_cost_of_a_vgg_is_that_of_its_layers(width):
    network = vgg.vgg11(3, (32, 32), 10, width=width)
    multiplied = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(
                lambda layer, _, out: multiplied.append(layer.weight.numel() * out.shape[2] * out.shape[3])
            )
    network(torch.rand(1, 3, 32, 32))
    cost = network_cost(CATALOG.find(ModelEntry, "vgg11"), {"width": width}, CATALOG.dataset("cifar10", {}))
    assert cost.parameters == pytest.approx(sum(weight.numel() for weight in network.parameters()), rel=0.02)
    assert cost.multiplications == pytest.approx(sum(multiplied), rel=0.1)


@pytest.mark.parametrize("name", ["vgg11", "resnet18", "resnet34"])
@pytest.mark.parametrize("option", ["activation", "pooling", "norm"])
def test_unknown_options_are_refused(name, option):
    with pytest.raises(ValueError, match=f"{option} must be"):
        NETWORKS[name](1, (32, 32), 3, **{option: "other"})


@pytest.mark.parametrize("name", NETWORKS)
def test_the_activation_is_the_requested_one(name):
    network = NETWORKS[name](1, (32, 32), 3, activation="softplus")
    kinds = {type(layer) for layer in network.modules()}
    assert nn.Softplus in kinds and not kinds & {nn.ReLU, nn.GELU, nn.SiLU}


def test_attention_is_torchs():
    ours = vit.Attention(64).double().eval()
    theirs = nn.MultiheadAttention(64, 2, batch_first=True).double().eval()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    tokens = torch.rand(3, 5, 64, dtype=torch.float64)
    torch.testing.assert_close(ours(tokens), theirs(tokens, tokens, tokens, need_weights=False)[0])


def test_the_vision_transformer_depends_on_patch_positions():
    network = vit.build(1, (8, 12), 3, patch_size=4, width=32, depth=1).eval()
    x = torch.rand(1, 1, 8, 12)
    assert network.positions.shape == (1, 6, 32)
    assert not torch.allclose(network(x), network(x.roll(4, dims=3)))


@pytest.mark.parametrize(("options", "words"), [({"patch_size": 5}, "does not divide"), ({"width": 40}, "multiple")])
def test_the_vision_transformer_refuses_wrong_arguments(options, words):
    with pytest.raises(ValueError, match=words):
        vit.build(1, (8, 8), 3, **options)


def test_the_penalty_of_a_transformer_agrees_with_torch_func():
    network = vit.build(1, (8, 8), 3, width=32, depth=2).double().eval()
    x = torch.rand(3, 1, 8, 8, dtype=torch.float64).requires_grad_(True)
    y = torch.zeros(3, dtype=torch.int64)

    def mean_penalty(weights):
        def density(image):
            return torch.func.functional_call(network, weights, (image.unsqueeze(0),)).logsumexp(dim=1).squeeze()

        return torch.func.vmap(torch.func.grad(density))(x.detach()).square().flatten(1).sum(dim=1).mean()

    gradients, value = torch.func.grad_and_value(mean_penalty)(dict(network.named_parameters()))
    actual = marginal_density(network, x, network(x), y).mean()
    torch.testing.assert_close(actual, value, rtol=1e-9, atol=0)
    ours = torch.autograd.grad(actual, list(network.parameters()), allow_unused=True)
    for (name, parameter), gradient in zip(network.named_parameters(), ours, strict=True):
        expected = gradients[name]
        actual = torch.zeros_like(parameter) if gradient is None else gradient
        torch.testing.assert_close(actual, expected, rtol=1e-7, atol=1e-12, msg=name)


def test_without_timm_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)  # importing it fails, as if it were missing
    with pytest.raises(ValueError, match="pip install timm"):
        timm.build(1, (32, 32), 3)


@needs_timm
@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224", "efficientnet_b0"])
def test_timm_models_take_the_penalty_and_keep_their_running_statistics(name):
    network = timm.build(1, (32, 32), 3, name=name).train()
    x = torch.rand(2, 1, 32, 32).requires_grad_(True)
    y = torch.zeros(2, dtype=torch.int64)
    marginal_density(network, x, network(x), y).mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters() if parameter.grad is not None)
    before = {key: value.clone() for key, value in network.named_buffers()}
    network.eval()
    logits = network(x)
    network.train()
    with replay(random_state(x.device)):
        marginal_density(network, x, logits, y, estimator="finite_difference")
    assert all(torch.equal(value, before[key]) for key, value in network.named_buffers())


@needs_timm
def test_timm_refuses_unknown_names_and_sizes_with_a_sentence():
    with pytest.raises(ValueError, match=r"has no model 'resnett18'; near to it: .*resnet18"):
        timm.build(1, (32, 32), 3, name="resnett18")
    with pytest.raises(ValueError, match="can't take images of 9×9"):
        timm.build(1, (9, 9), 3, name="vit_tiny_patch16_224")
