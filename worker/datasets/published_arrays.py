"""Published data sets whose files contain whole arrays and an official test set, one line each.

- mnist: handwritten digits (LeCun, Bottou, Bengio, Haffner 1998), images (N, 1, 28, 28).
- fashion_mnist: pieces of clothing (Xiao, Rasul, Vollgraf 2017), images (N, 1, 28, 28).
- cifar10, cifar100: photographs of 10 and of 100 classes (Krizhevsky 2009), images (N, 3, 32, 32).
- svhn: digits of house numbers (Netzer et al. 2011), images (N, 3, 32, 32).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from densitylab.worker.datasets import cifar_pickles, idx, svhn_mat
from densitylab.worker.datasets.arrays import Arrays, portion, store
from densitylab.worker.datasets.dataset import PreparedInfo
from densitylab.worker.datasets.source import Source


@dataclass(frozen=True)
class PublishedArrays:
    """A published data set.

    Args:
        splits: (source, *, check_sums, progress, should_stop) -> "train" and "test" from the published files.
        num_classes: K; labels are 0 to K − 1.
    """

    splits: Callable[..., dict[str, Arrays]]
    num_classes: int

    def prepare(
        self,
        root: Path,
        source: Source,
        *,
        data_seed: int = 0,
        check_sums: bool = True,
        progress: Callable[[float], None],
        should_stop: Callable[[], bool],
    ) -> PreparedInfo:
        """Store the published images as uint8 under `root`.

        A tenth of the official training images, of each class, becomes the validation split; the official test images
        keep their order.

        Args:
            root: the folder to create, one for each value of the parameters.
            source: where to look for the published files.
            data_seed: draws the validation images.
            check_sums: whether placed files must be the published ones.
            progress: called with the fraction done.
            should_stop: asked between the steps.

        Raises:
            Unavailable: a file is missing and can't be downloaded, or is not the published one.
            Interrupted: `should_stop()` returned True.
        """
        arrays = self.splits(
            source, check_sums=check_sums, progress=portion(progress, 0.0, 0.8), should_stop=should_stop
        )
        return store(
            root,
            arrays["train"],
            arrays["test"],
            num_classes=self.num_classes,
            data_seed=data_seed,
            progress=portion(progress, 0.8, 1.0),
            should_stop=should_stop,
        )


mnist = PublishedArrays(partial(idx.splits, kind="MNIST"), 10).prepare
fashion_mnist = PublishedArrays(partial(idx.splits, kind="FashionMNIST"), 10).prepare
cifar10 = PublishedArrays(partial(cifar_pickles.splits, kind="CIFAR10", labels_key="labels"), 10).prepare
cifar100 = PublishedArrays(partial(cifar_pickles.splits, kind="CIFAR100", labels_key="fine_labels"), 100).prepare
svhn = PublishedArrays(svhn_mat.splits, 10).prepare
