"""Group accuracy: of each sub-population, and of the worst."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np
import torch
from torch import nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.batches import batches
from densitylab.worker.evaluations.result import (
    Curve,
    Flag,
    Result,
    Value,
    at_chance,
    few_of_group,
    proportion,
    resampled,
)
from densitylab.worker.evaluations.worst_group import worst_group


def groups(
    model: nn.Module,
    data: Dataset,
    *,
    attributes: Sequence[str] | None = None,
    train_data: Callable[[], Dataset],
    generator: torch.Generator,
    progress: Callable[[float], None],
    should_stop: Callable[[], bool],
) -> Result:
    """Return the accuracy a_g of each group, two means, the worst and the gap (Sagawa, Koh, Hashimoto, Liang 2020).

    Args:
        model: gives logits (N, K), in eval mode.
        data: images, labels, and groups or attributes.
        attributes: names of attributes; a group is a combination of the label and their values, the label first and
            the last attribute fastest. None: the groups of the data set.
        train_data: gives the training images, whose group sizes weight the second mean.
        generator: not used.
        progress: called with the fraction done, 0 to 1.
        should_stop: asked before each batch.

    Returns:
        values `worst` = min a_g (n: of that group), `mean` = Σ a_g n_g / n over the test set's groups (the plain
        accuracy), `mean_train` = Σ a_g w_g with the training set's shares w_g, `gap` = max a_g − min a_g, with
        bootstrap intervals stratified by group; `group_0`, `group_1`, ... each a_g (Wilson). Curve `accuracy` over the
        group indices. Arrays `correct`, `predicted` and `group`, and `train/group` of the training images. Groups
        without a test image get a flag, have no accuracy and are excluded from the other values; the weights of
        `mean_train` are then scaled to sum to 1.

    Raises:
        ValueError: the data set has no groups, or lacks an attribute.
        Interrupted: `should_stop()` returned True.
    """
    train = train_data()
    group, train_groups = _groups(data, train, attributes)
    predicted, classes = np.zeros(len(data), np.int64), 1
    for part, x, _ in batches(model, data, None, progress=progress, should_stop=should_stop):
        with torch.no_grad():
            logits = model(x)
        predicted[part] = logits.argmax(dim=1).cpu().numpy()
        classes = logits.shape[1]
    correct = predicted == data.labels.cpu().numpy()
    count = 1 + max(int(group.max(initial=0)), int(train_groups.max()))
    if attributes is not None:
        count = (1 + int(train.labels.max())) * prod(len(data.attributes[name].values) for name in attributes)
    sizes = np.bincount(group, minlength=count)
    rights = np.bincount(group, weights=correct, minlength=count).astype(int)
    each = [proportion(int(right), int(size), higher_is_better=True) for right, size in zip(rights, sizes, strict=True)]
    present = np.flatnonzero(sizes)
    member = (group[:, None] == present).astype(float)
    train_share = np.bincount(train_groups, minlength=count)[present].astype(float)
    if train_share.sum() == 0:
        train_share[:] = 1

    def value(statistic: Callable[[np.ndarray], np.ndarray], higher_is_better: bool) -> Value:
        """Return a statistic of (r, G) group accuracies, with its interval."""
        return resampled(
            lambda drawn: statistic(correct[drawn] @ member / sizes[present]), group, higher_is_better=higher_is_better
        )

    values = {
        "worst": worst_group(correct, group),
        "mean": value(lambda a: a @ sizes[present] / len(data), True),
        "mean_train": value(lambda a: a @ train_share / train_share.sum(), True),
        "gap": value(lambda a: a.max(axis=1) - a.min(axis=1), False),
        **{f"group_{g}": group_value for g, group_value in enumerate(each)},
    }
    return Result(
        values=values,
        curves={
            "accuracy": Curve(
                x=[float(g) for g in range(count)],
                y=[v.value for v in each],
                low=[v.low for v in each],
                high=[v.high for v in each],
                x_label="group",
                y_label="accuracy",
            )
        },
        flags=_flags(sizes) + at_chance(correct, classes),
        arrays={"correct": correct, "predicted": predicted, "group": group, "train/group": train_groups},
    )


def _groups(data: Dataset, train: Dataset, attributes: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the group of each test image and of each training image."""
    if attributes is not None:
        return _crossed(data, attributes), _crossed(train, attributes)
    if data.groups is None or train.groups is None:
        raise ValueError("group accuracy needs a data set with groups; this one has none")
    return data.groups.cpu().numpy(), train.groups.cpu().numpy()


def _crossed(data: Dataset, attributes: Sequence[str]) -> np.ndarray:
    group = data.labels
    for name in attributes:
        if name not in data.attributes:
            raise ValueError(f"the data set has no attribute {name}; it has {', '.join(data.attributes) or 'none'}")
        attribute = data.attributes[name]
        group = group * len(attribute.values) + attribute.codes
    return group.cpu().numpy()


def _flags(sizes: np.ndarray) -> list[Flag]:
    empty, smallest = np.flatnonzero(sizes == 0), int(sizes[sizes > 0].min(initial=sizes.max()))
    flags = few_of_group(smallest, smallest)
    if len(empty) > 0:
        flags.append(
            Flag(
                "empty_group",
                f"Group {', '.join(map(str, empty))} has no test image: its accuracy is not "
                "known and not part of the worst. Next: evaluate on a data set with images of every group.",
            )
        )
    return flags
