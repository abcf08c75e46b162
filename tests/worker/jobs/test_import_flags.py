"""Warnings of imported runs: each states what the trials show, for a declared normalisation and a found one."""

import numpy as np

from densitylab.backend.shared.contracts import RunSource
from densitylab.worker.importing.class_order_check import OtherOrder
from densitylab.worker.importing.normalization_check import Check, Normalization, Trial
from densitylab.worker.jobs.import_flags import import_flags

SOURCE = RunSource(file_name="a.pt")
CLASSES = [f"class {index}" for index in range(10)]


def trial(name: str, right: int, n: int = 1000) -> Trial:
    return Trial(Normalization(name, name, (0.5,), (0.5,)), np.arange(n) < right, 1.0)


def flags(*trials: Trial, chosen: int = 0) -> dict[str, str]:
    found = import_flags(Check(trials), chosen, CLASSES, SOURCE)
    return {flag.key: flag.text for flag in found}


def test_a_declared_normalisation_at_chance_beside_a_good_one_is_doubtful_too():
    for declared in (trial("half", 95), trial("half", 20, n=200)):  # seen on all images, and left out after the first
        found = flags(trial("dataset", 930), declared, chosen=1)
        assert list(found) == ["normalization_doubtful", "at_chance"]
        assert "no usual normalisation" not in found["at_chance"]
        text = found["normalization_doubtful"]
        assert "dataset gives accuracy 0.9300 (0.9125 to 0.9442) on 1,000 validation images" in text
        assert f"on {len(declared.correct):,} validation images, and" in text


def test_at_chance_under_every_normalisation_says_so():
    text = flags(trial("dataset", 101), trial("half", 98), chosen=1)["at_chance"]
    assert "98 of 1000" in text and "no usual normalisation gives more than chance" in text


def test_at_chance_beside_one_a_little_above_it_does_not_say_so():
    found = flags(trial("dataset", 130), trial("half", 117), chosen=1)
    assert "at_chance" in found and "no usual normalisation" not in found["at_chance"]


def test_a_good_network_has_no_warning():
    assert flags(trial("half", 930), trial("dataset", 400)) == {}
    assert flags(trial("half", 930), trial("dataset", 930), chosen=1) == {}


def test_the_best_of_many_trials_at_chance_is_at_chance():
    random = np.random.default_rng(0)
    unnoticed = 0
    for _ in range(50):
        trials = [trial(f"{index}", int(random.binomial(2000, 0.1)), n=2000) for index in range(16)]
        trials.sort(key=lambda item: item.accuracy, reverse=True)
        unnoticed += "at_chance" not in flags(*trials)
        assert "at_chance" in flags(*trials, chosen=15)  # a declared one, worse than the best by chance alone
    assert unnoticed <= 4  # 2.5 % of 50 are expected, where the interval of the best alone leaves out a third
    assert flags(trial("best", 250, n=2000), *trials) == {}


def test_a_doubtful_class_order_states_both_accuracies_and_the_order():
    right = trial("half", 930)
    outputs = np.array([0, 1, 2, 5, 4, 3, 6, 7, 8, 9])
    doubtful = Trial(right.normalization, np.arange(1000) < 730, 1.0, OtherOrder(outputs, right.correct))
    used = [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    (flag,) = import_flags(Check([doubtful]), 0, CLASSES, SOURCE, used)
    assert flag.key == "class_order_doubtful"
    assert "accuracy 0.7300 (0.7016 to 0.7566) in the order used, and 0.9300 (0.9125 to 0.9442)" in flag.text
    assert "on 1,000 validation images" in flag.text and "Class → output: class 3 → 4, class 5 → 6. Next" in flag.text
    assert "class_order [9, 8, 7, 4, 5, 6, 3, 2, 1, 0]" in flag.text


def test_a_normalisation_is_not_blamed_for_a_wrong_class_order():
    half = Trial(
        trial("half", 100).normalization,
        np.arange(1000) < 100,
        1.0,
        OtherOrder(np.arange(10)[::-1], np.ones(1000, bool)),
    )
    assert list(flags(trial("dataset", 300), half, chosen=1)) == ["class_order_doubtful", "at_chance"]
