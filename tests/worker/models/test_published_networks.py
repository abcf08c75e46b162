"""ConvNeXt-Tiny and ViT-B/16 are torchvision's; PreAct-ResNet-18 and WideResNet-28-10 have the papers' sizes."""

import pytest
import torch
import torchvision
from torch import nn

from densitylab.backend.shared.catalog import Catalog
from densitylab.backend.shared.specs import cautions, complete
from densitylab.worker.models import convnext, preactivation, vit_b16
from densitylab.worker.models.pretrained import NoPretrainedWeights
from densitylab.worker.regularizers.marginal_density import marginal_density
from densitylab.worker.resolve import load

CATALOG = Catalog.built_in()


def test_a_pretrained_convnext_is_torchvisions_but_for_the_head(store):
    theirs = torchvision.models.convnext_tiny(weights=None).eval()
    store("convnext_tiny", theirs)
    ours = convnext.convnext_tiny(3, (64, 96), 7, pretrained=True).eval()
    theirs.classifier[2] = ours.classifier[2]
    x = torch.rand(2, 3, 64, 96)
    torch.testing.assert_close(ours(x), theirs(x))
    grey = convnext.convnext_tiny(1, (32, 32), 7, pretrained=True)
    assert torch.equal(grey.features[1][0].block[0].weight, theirs.features[1][0].block[0].weight)
    assert grey.features[0][0].weight.shape == (96, 1, 4, 4)


def test_a_pretrained_vit_is_torchvisions_but_for_the_head(store):
    theirs = torchvision.models.vit_b_16(weights=None).eval()
    store("vit_b_16", theirs)
    ours = vit_b16.vit_b16(3, (224, 224), 7, pretrained=True).eval()
    theirs.heads.head = ours.body.heads.head
    x = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_positions_of_another_grid_are_torchvisions_interpolation():
    positions = torch.rand(1, 1 + 14 * 14, 8)
    assert vit_b16.interpolated_positions(positions, (14, 14)) is positions
    expected = torchvision.models.vision_transformer.interpolate_embeddings(
        64, 16, {"encoder.pos_embedding": positions.clone()}
    )["encoder.pos_embedding"]
    torch.testing.assert_close(vit_b16.interpolated_positions(positions, (4, 4)), expected)
    assert vit_b16.interpolated_positions(positions, (2, 5)).shape == (1, 11, 8)


@pytest.mark.parametrize("build", [convnext.convnext_tiny, vit_b16.vit_b16])
def test_weights_offline_are_refused_with_one_sentence(build, cache):
    with pytest.raises(NoPretrainedWeights, match=r"go online, put that file into .* or train with pretrained off"):
        build(3, (32, 32), 7, pretrained=True)


@pytest.mark.parametrize(
    ("build", "convolutions", "parameters"),
    [(preactivation.preact_resnet18, 17, 11.17e6), (preactivation.wide_resnet28_10, 25, 36.48e6)],
)
def test_networks_for_small_images_have_the_papers_size(build, convolutions, parameters):
    network = build(3, (32, 32), 10)
    threes = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(threes) == convolutions
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(parameters, rel=1e-3)


def test_a_preactivation_block_is_the_papers_formula():
    block = preactivation.PreActivationBlock(4, 8, 2, "relu", "batch", 0.0).eval()
    x = torch.rand(3, 4, 6, 6)
    bn1, bn2 = block.before1[0], block.before2[0]
    active = torch.relu(bn1(x))
    expected = block.shortcut(active) + block.conv2(torch.relu(bn2(block.conv1(active))))
    torch.testing.assert_close(block(x), expected)
    assert block(x).shape == (3, 8, 3, 3)


@pytest.mark.parametrize("key", ["resnet50", "preact_resnet18", "convnext_tiny", "vit_b16"])
@pytest.mark.few(1)
def test_the_penalty_agrees_with_a_directional_difference(key):
    """The derivative of the mean penalty along a random change of the weights, in double precision."""
    entry = CATALOG.find("model", key)
    torch.manual_seed(0)
    smooth = {"activation": "gelu"} if entry.param("activation") else {}
    network = load(entry)(3, (32, 32), 3, **smooth).double().eval()
    x = torch.rand(2, 3, 32, 32, dtype=torch.float64).requires_grad_(True)
    y = torch.zeros(2, dtype=torch.int64)

    def penalty():
        return marginal_density(network, x, network(x), y).mean()

    parameters = list(network.parameters())
    directions = [torch.randn_like(p) * p.detach().abs().mean() for p in parameters]
    gradients = torch.autograd.grad(penalty(), parameters, allow_unused=True)
    slope = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True) if g is not None)
    values = []
    for step in (1e-6, -2e-6):
        with torch.no_grad():
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.add_(direction, alpha=step)
        values.append(penalty().item())
    assert slope.item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-4)


def flags(**spec):
    raw = {"regularizer": {"key": "none"}, "evaluations": [], **spec}
    return {flag.key: flag.text for flag in cautions(CATALOG, complete(CATALOG, raw))}


def test_a_pretrained_network_that_loses_its_stem_says_so():
    pretrained = {"key": "resnet50", "params": {"pretrained": True, "pooling": "max"}}
    lost = flags(dataset={"key": "cifar10"}, model=pretrained)
    assert "At 32×32 pixels the first layer of ResNet-50" in lost["pretrained_layers_lost"]
    assert "at least 96×96" in lost["pretrained_layers_lost"]
    assert flags(dataset={"key": "cifar10"}, model={"key": "resnet50"}) == {}
    assert flags(dataset={"key": "cifar10"}, model={"key": "vgg11", "params": {"pretrained": True}}) == {}
    kept = flags(dataset={"key": "cifar10"}, model=pretrained, interface={"image_size": [96, 96]})
    assert "pretrained_layers_lost" not in kept
