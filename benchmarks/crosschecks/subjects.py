"""Models of the cross-checks: a plain and a smoothed MLP on BlockMNIST, trained here by a separate loop."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densitylab.backend.shared.catalog import Catalog
from densitylab.worker.datasets import blockmnist
from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.regularizers.marginal_density import marginal_density
from densitylab.worker.resolve import build_model

CATALOG = Catalog.built_in()

EPOCHS, BATCH = 15, 100


@dataclass(frozen=True)
class Subjects:
    """The models by name, training images, and the test images as a data set and as x in [0, 1] with labels y."""

    models: dict[str, nn.Module]
    train: Dataset
    data: Dataset
    x: Tensor
    y: Tensor


def subjects(images: int = 1000) -> Subjects:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        blockmnist.prepare(root, progress=lambda share: None, should_stop=lambda: False)
        train, test = blockmnist.load(root, "train"), blockmnist.load(root, "test")
    masks = None if test.masks is None else test.masks[:images]
    data = Dataset(test.images[:images], test.labels[:images], masks)
    models = {"plain": trained(train, 0.0), "smoothed, λ = 1": trained(train, 1.0)}
    return Subjects(models, train, data, data.images.float() / 255, data.labels)


def trained(train: Dataset, lambda_: float) -> nn.Module:
    """Return the default MLP after 15 epochs of Adam on cross-entropy + λ ‖∇ log p‖², in eval mode."""
    torch.manual_seed(0)
    model = build_model(CATALOG, "mlp", {}, CATALOG.find("dataset", "blockmnist"))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(EPOCHS):
        for part in torch.randperm(len(train)).split(BATCH):
            x, y = (train.images[part].float() / 255).requires_grad_(lambda_ > 0), train.labels[part]
            logits = model(x)
            loss = F.cross_entropy(logits, y)
            if lambda_ > 0:
                loss = loss + lambda_ * marginal_density(model, x, logits, y, generator=None).mean()
            optimizer.zero_grad()
            loss.backward(inputs=list(model.parameters()))
            optimizer.step()
    return model.eval()
