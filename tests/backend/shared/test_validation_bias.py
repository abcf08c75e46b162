"""The caution on validation images that have the training images' bias."""

from densitylab.backend.shared.validation_bias import biased_validation

TRAIN, TEST = [950, 50, 50, 950], [250, 250, 250, 250]


def test_a_validation_split_with_the_shares_of_training_is_biased():
    text = biased_validation({"train": TRAIN, "validation": [95, 5, 5, 95], "test": TEST})
    assert "group 1 is 2.5% of them, 2.5% of the training and 25.0% of the test images" in text
    assert "rests on 5 validation images" in text


def test_other_splits_are_not():
    assert biased_validation({"train": TRAIN, "validation": [25, 25, 25, 25], "test": TEST}) is None  # like the test
    assert biased_validation({"train": TRAIN, "validation": [95, 5, 5, 95], "test": TRAIN}) is None  # no shift
    assert biased_validation({"train": TRAIN, "validation": [60, 40, 40, 60], "test": TEST}) is None  # in between
    assert biased_validation({}) is None and biased_validation({"train": TRAIN, "test": TEST}) is None
