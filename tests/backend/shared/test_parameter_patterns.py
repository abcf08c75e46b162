import pytest

from densitylab.backend.shared.parameter_patterns import matching, problem

NAMES = ["features.0.weight", "features.0.bias", "features.1.weight", "norm.weight", "fc.weight", "fc.bias"]


@pytest.mark.parametrize("pattern", ["features", "features.*", "feat*"])
def test_a_pattern_matches_names_and_modules(pattern: str):
    assert matching(NAMES, [pattern]) == NAMES[:3]
    assert matching(NAMES, ["*.bias", pattern]) == [*NAMES[:3], "fc.bias"]
    assert problem(NAMES, [pattern]) is None


def test_without_patterns_nothing_matches_and_nothing_is_wrong():
    assert matching(NAMES, []) == [] and problem(NAMES, []) is None


def test_a_pattern_without_a_match_names_the_nearest_and_the_parameters():
    sentence = problem(NAMES, ["fc", "feature.*"])
    assert sentence is not None
    assert "pattern 'feature.*' (nearest: features); its parameters are features.0.weight, " in sentence


def test_patterns_that_leave_nothing_to_train_are_a_problem():
    assert "leave at least its head to train" in (problem(NAMES, ["features", "norm", "*"]) or "")
