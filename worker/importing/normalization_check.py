"""Find out how an imported network's images were normalised: its accuracy under the usual ways, on the same images.

All ways see the first images; those that are clearly worse than the best are left out, and the others see all images.
A way is chosen by its accuracy, then by its cross-entropy. The choice is decided where McNemar's exact test finds every
other way worse on the same images, and a declared way is doubtful where the test finds it worse than the best. All p
values allow for the number of ways (Bonferroni), since chance may make any of them the best. Where the order of the
classes is doubtful, the accuracy in the order that was found is compared, so that a wrong order does not mislead the
choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.batches import batches
from densitylab.worker.evaluations.intervals import wilson
from densitylab.worker.importing.class_order_check import OtherOrder, better_order, fewer_correct
from densitylab.worker.models.interface import InputAdapter

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
IMAGES, FIRST_IMAGES = 2000, 200
SIGNIFICANT, CLEARLY_WORSE = 0.05, 0.001  # p of McNemar's test, before they are divided by the number of ways


@dataclass(frozen=True)
class Normalization:
    """A way to normalise images, in the network's order of channels and on the scale of its values."""

    name: str
    label: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channel_order: str = "rgb"
    value_range: str = "unit"


@dataclass(frozen=True)
class Trial:
    """The accuracy of a network under one normalization."""

    normalization: Normalization
    correct: np.ndarray  # of each image, bool
    cross_entropy: float
    other_order: OtherOrder | None = None  # of the outputs, if the used one is doubtful

    @property
    def accuracy(self) -> float:
        return float(self.correct.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """Return Wilson's 95 % interval of the accuracy."""
        return wilson(int(self.correct.sum()), len(self.correct))

    @property
    def compared(self) -> np.ndarray:
        """Return whether each image is classified correctly, in the better order of the outputs."""
        return self.correct if self.other_order is None else self.other_order.correct

    @property
    def summary(self) -> str:
        """Return the compared accuracy with its interval and n."""
        right, n = int(self.compared.sum()), len(self.compared)
        low, high = wilson(right, n)
        order = "" if self.other_order is None else ", in another order of the classes"
        return f"accuracy {right / n:.4f} ({low:.4f} to {high:.4f}) on {n:,} validation images{order}"


@dataclass(frozen=True)
class Check:
    """The trials, the best first."""

    trials: Sequence[Trial]

    @property
    def decided(self) -> bool:
        """Return whether every other trial is significantly worse than the best."""
        return all(map(self.is_worse, self.trials[1:]))

    def is_worse(self, trial: Trial) -> bool:
        """Return whether a trial is significantly worse than the best, in view of the number of trials (Bonferroni)."""
        return _worse(trial, self.trials[0], SIGNIFICANT / len(self.trials))

    @property
    def summary(self) -> str:
        """Return the outcome in a sentence."""
        best = self.trials[0]
        result = f"{best.normalization.label}: {best.summary}"
        if self.decided:
            return f"{result}, significantly more than under every other normalisation."
        others = [trial for trial in self.trials[1:] if not self.is_worse(trial)]
        named = "; ".join(f"{trial.normalization.label}: {trial.compared.mean():.4f}" for trial in others[:3])
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        return f"{result}. Not decided: the difference may be chance to {named}{more}. Declare it if you know it."


@dataclass(frozen=True)
class Statistics:
    """Means and deviations per channel, on the [0, 1] scale."""

    label: str
    means_label: str  # of the means without the deviations
    mean: tuple[float, ...]
    std: tuple[float, ...]


def statistics(mean: Sequence[float], std: Sequence[float]) -> dict[str, Statistics]:
    """Return the usual statistics by name.

    Args:
        mean: of the data set, per channel.
        std: likewise.
    """
    channels = len(mean)
    usual = {
        "dataset": Statistics("the data set's statistics", "the data set's means", tuple(mean), tuple(std)),
        "half": Statistics("mean and deviation 0.5", "mean 0.5", (0.5,) * channels, (0.5,) * channels),
        "none": Statistics("no normalisation", "", (0.0,) * channels, (1.0,) * channels),
    }
    if channels == 3:
        return {"imagenet": Statistics("ImageNet's statistics", "ImageNet's means", *IMAGENET), **usual}
    return usual


def candidates(mean: Sequence[float], std: Sequence[float]) -> list[Normalization]:
    """Return the usual ways: the statistics above in RGB and BGR, and for values from 0 to 255 their means alone, as
    networks of Caffe have them, or nothing."""
    orders = ("rgb", "bgr") if len(mean) == 3 else ("rgb",)
    ways = []
    for order in orders:
        for name, usual in statistics(mean, std).items():
            suffix = ", BGR" if order == "bgr" else ""
            turn = 1 if order == "rgb" else -1
            ways.append(Normalization(name, f"{usual.label}{suffix}", usual.mean[::turn], usual.std[::turn], order))
            means = tuple(255 * value for value in usual.mean[::turn])
            label = f"{usual.means_label or usual.label}, 0 to 255{suffix}"
            ways.append(Normalization(name, label, means, (1.0,) * len(means), order, "byte"))
    return ways


def check(
    network: torch.nn.Module,
    data: Dataset,
    ways: Sequence[Normalization],
    *,
    image_size: Sequence[int] | None,
    class_order: Sequence[int] | None,
    order_known: bool = False,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Check:
    """Return the accuracies under each way.

    Args:
        network: normalised images -> logits, in eval mode on its device.
        data: validation images; the first 2,000 of `sample` are used.
        ways: at least one.
        image_size: (height, width) of the network's images; None: as they are.
        class_order: index of the output of each class; None: the same order.
        order_known: the order is certain, so that no other is tried.
        progress: called with the fraction done.
        should_stop: asked before each batch.

    Raises:
        Interrupted: `should_stop()` returned True.
    """
    device = next(network.parameters()).device

    def trial(way: Normalization, images: Dataset, at: float, share: float) -> Trial:
        adapter = InputAdapter(
            way.mean,
            way.std,
            reverse_channels=way.channel_order == "bgr",
            scale=255 if way.value_range == "byte" else 1,
            image_size=image_size,
        ).to(device)
        model = torch.nn.Sequential(adapter, network)
        correct, losses, predicted, labels = [], [], [], []
        for _, x, y in batches(
            model, images, None, progress=lambda done: progress(at + share * done), should_stop=should_stop
        ):
            with torch.no_grad():
                logits = model(x).double()
            logits = logits if class_order is None else logits[:, list(class_order)]
            loss = F.cross_entropy(logits, y, reduction="none")
            predicted.append(logits.argmax(dim=1).cpu().numpy())
            labels.append(y.cpu().numpy())
            correct.append(((logits.argmax(dim=1) == y) & torch.isfinite(loss)).cpu().numpy())
            losses.append(torch.nan_to_num(loss, nan=1e9, posinf=1e9).cpu().numpy())
        classes = logits.shape[1]
        other = None if order_known else better_order(np.concatenate(predicted), np.concatenate(labels), classes)
        return Trial(way, np.concatenate(correct), float(np.concatenate(losses).mean()), other)

    first = sample(data, FIRST_IMAGES)
    trials = [trial(way, first, 0.3 * index / len(ways), 0.3 / len(ways)) for index, way in enumerate(ways)]
    best = max(trials, key=_order)
    kept = [item for item in trials if not _worse(item, best, CLEARLY_WORSE / len(trials))]
    if len(data) > FIRST_IMAGES:
        images = sample(data, IMAGES)
        again = {
            id(item): trial(item.normalization, images, 0.3 + 0.7 * index / len(kept), 0.7 / len(kept))
            for index, item in enumerate(kept)
        }
        best = max(again.values(), key=_order)
        trials = [again.get(id(item), item) for item in trials]
    trials.sort(key=lambda item: (len(item.correct), *_order(item)), reverse=True)
    return Check(trials)


def sample(data: Dataset, count: int) -> Dataset:
    """Return `count` images, spread evenly over the classes, the same in each call; all if there are fewer."""
    if len(data) <= count:
        return data
    labels = data.labels.numpy()
    shuffled = np.random.default_rng(0).permutation(len(labels))
    rank = np.empty(len(labels), int)  # of an image within its class
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        rank[members] = np.arange(len(members))
    chosen = torch.from_numpy(np.sort(shuffled[np.argsort(rank[shuffled], kind="stable")][:count]))
    return Dataset(data.images[chosen], data.labels[chosen])


def _order(trial: Trial) -> tuple[float, float]:
    return float(trial.compared.mean()), -trial.cross_entropy


def _worse(trial: Trial, best: Trial, p: float) -> bool:
    """Return whether a trial saw fewer images than the best, or is worse by McNemar's exact test with a p value below
    `p`, on the same images."""
    if trial is best or len(trial.correct) != len(best.correct):
        return trial is not best
    return fewer_correct(trial.compared, best.compared, p)
