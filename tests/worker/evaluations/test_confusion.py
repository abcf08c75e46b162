"""The confusion matrix and the accuracy of each class equal scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, confusion_matrix
from torch import nn

from densitylab.worker.datasets.dataset import Dataset
from densitylab.worker.evaluations.confusion import confusion
from densitylab.worker.evaluations.intervals import wilson

HOOKS = {"progress": lambda fraction: None, "should_stop": lambda: False}


def evaluated(labels, predicted, classes, **options):
    """Evaluate a model that reads its prediction from the first pixel."""
    images = torch.tensor(predicted, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    model = nn.Sequential(OneHot(classes))
    return confusion(
        model.eval(), Dataset(images, torch.tensor(labels)), generator=torch.Generator(), **HOOKS, **options
    )


class OneHot(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.classes = classes

    def forward(self, x):
        return self.scale * nn.functional.one_hot((x[:, 0, 0, 0] * 255).round().long(), self.classes).float()


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 400)
    return labels, np.where(rng.random(400) < 0.6, labels, rng.integers(0, 5, 400))


def test_the_matrix_is_scikit_learns(drawn):
    labels, predicted = drawn
    result = evaluated(labels, predicted, 5)
    matrix = np.zeros((5, 5))
    for row in range(5):
        curve = result.curves[f"confusion_{row}"]
        matrix[row, np.array(curve.x, int)] = curve.y
    expected = confusion_matrix(labels, predicted)
    assert matrix == pytest.approx(confusion_matrix(labels, predicted, normalize="true"))
    for c in range(5):
        value = result.values[f"class_{c}"]
        right, size = int(expected[c, c]), int(expected[c].sum())
        assert (value.value, value.n) == (right / size, size)
        assert (value.low, value.high) == wilson(right, size)
    assert result.values["mean"].value == pytest.approx(balanced_accuracy_score(labels, predicted))
    worst = result.values["worst"]
    assert worst.value == min(result.curves["accuracy"].y) and worst.low <= worst.value <= worst.high
    assert result.flags == []
    assert result.arrays["correct"].mean() == pytest.approx((labels == predicted).mean())


def test_only_predictions_that_occur_are_in_a_row():
    result = evaluated([0] * 150 + [1] * 150, [0] * 150 + [7] * 150, 200)
    assert (result.curves["confusion_0"].x, result.curves["confusion_0"].y) == ([0.0], [1.0])
    assert result.curves["confusion_1"].x == [7.0] and "confusion_2" not in result.curves


def test_a_class_without_images_is_not_the_worst(drawn):
    labels, predicted = drawn
    result = evaluated(labels, predicted, 7)
    assert result.values["class_6"].value is None and result.values["class_6"].n == 0
    assert result.values["mean"].value == evaluated(labels, predicted, 5).values["mean"].value
    assert [flag.key for flag in result.flags] == ["empty_class"] and "2 of 7" in result.flags[0].text


def test_images_with_nan_logits_are_wrong_and_in_no_row(drawn):
    labels, predicted = drawn

    class Broken(OneHot):
        def forward(self, x):
            logits = super().forward(x)
            logits[0] = torch.nan
            return logits

    images = torch.tensor(predicted, dtype=torch.uint8).view(-1, 1, 1, 1)
    result = confusion(
        nn.Sequential(Broken(5)).eval(), Dataset(images, torch.tensor(labels)), generator=torch.Generator(), **HOOKS
    )
    assert not result.arrays["correct"][0]
    assert sum(result.curves[f"confusion_{labels[0]}"].y) < 1
