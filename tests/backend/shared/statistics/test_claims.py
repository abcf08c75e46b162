"""Claims about two groups: yes, no, undecided, and the seeds that would decide them."""

import numpy as np
import pytest
from scipy import stats

from densitylab.backend.shared.statistics.claims import Claim, at_most_worse, claim_text, judge
from densitylab.backend.shared.statistics.paired_tests import ImageTest, compare_images, paired_t


def claim(
    result: list[float],
    accuracy: list[float],
    *,
    higher: bool = True,
    images: tuple[ImageTest | None, ImageTest | None] = (None, None),
) -> Claim:
    return judge((paired_t(result), images[0]), (paired_t(accuracy), images[1]), higher=higher, max_loss=0.02)


def text(judged: Claim) -> str:
    return claim_text(judged, max_loss=0.02)


BETTER, WORSE, OPEN = [0.10, 0.12, 0.11], [-0.10, -0.12, -0.11], [0.10, -0.09, 0.03]
CHEAP, COSTLY, UNKNOWN = [-0.005, -0.006, -0.004], [-0.05, -0.052, -0.051], [-0.03, 0.0, -0.015]


@pytest.mark.parametrize(
    ("result", "accuracy", "verdict"),
    [
        (BETTER, CHEAP, "yes"),
        (BETTER, COSTLY, "no"),
        (BETTER, UNKNOWN, "undecided"),
        (WORSE, CHEAP, "no"),
        (WORSE, UNKNOWN, "no"),
        (OPEN, CHEAP, "undecided"),
        (OPEN, COSTLY, "no"),
        (OPEN, UNKNOWN, "undecided"),
    ],
)
def test_yes_needs_both_and_no_needs_one(result: list[float], accuracy: list[float], verdict: str):
    assert claim(result, accuracy).verdict == verdict
    # Where less is better, the opposite differences say the same
    assert claim([-value for value in result], accuracy, higher=False).verdict == verdict


def test_sentences():
    assert text(claim(BETTER, CHEAP)) == "Yes, over 3 seeds."
    assert text(claim(WORSE, CHEAP)) == "No: its result is worse, over 3 seeds."
    both = "No: its result is worse and it costs more than 2 points of accuracy, over 3 seeds."
    assert text(claim(WORSE, COSTLY)) == both
    assert text(claim([0.1], [0.0])).startswith("Undecided with 1 seed in common: one seed says nothing about another")
    assert text(claim([], [])).startswith("Undecided with 0 seeds in common")
    assert "no reasonable number" in text(claim([1.0, -1.0001, 0.0002], CHEAP))
    same = "Undecided with 3 seeds: a difference is the same for all of them, which a t test cannot judge."
    assert text(claim([0.125, 0.125, 0.125], CHEAP)) == same


def test_seeds_needed_are_those_of_the_question_that_decides():
    undecided = claim(OPEN, CHEAP)
    assert undecided.seeds_needed == paired_t(OPEN).seeds_needed() and undecided.seeds_needed > 3
    about = f"Undecided with 3 seeds; about {undecided.seeds_needed} would do to tell whether its result is better."
    assert text(undecided) == f"It costs at most 2 points of accuracy. {about}"
    costs = claim(BETTER, [-0.001, 0.03, -0.035])
    rest = "would do to tell whether it costs at most 2 points of accuracy."
    assert text(costs) == f"Its result is better. Undecided with 3 seeds; about {costs.seeds_needed} {rest}"
    # Both open and leaning to yes: the slower of the two
    slower = claim([0.10, 0.01, 0.04], [-0.001, 0.03, -0.015])
    needed = [paired_t([0.10, 0.01, 0.04]).seeds_needed(), paired_t([-0.001, 0.03, -0.015]).seeds_needed(-0.02)]
    assert slower.verdict == "undecided" and slower.seeds_needed == max(needed)
    both = "to tell whether its result is better and whether it costs at most 2 points of accuracy."
    assert text(slower).endswith(both)
    # One leans to no: that alone will do
    against = claim([0.10, 0.01, 0.04], [-0.02, -0.06, -0.03])
    assert against.seeds_needed == paired_t([-0.02, -0.06, -0.03]).seeds_needed(-0.02)
    assert claim(BETTER, CHEAP).seeds_needed is None and claim([0.1], [0.0]).seeds_needed is None


def test_seeds_are_said_of_each_question_where_one_number_does_not_decide_all():
    hopeless = [1.0, -1.0001, 0.0002]
    some = claim(hopeless, [-0.001, 0.03, -0.035])
    assert some.seeds_needed is None
    about = f"about {paired_t([-0.001, 0.03, -0.035]).seeds_needed(-0.02)} would do"
    cheap = "to tell whether it costs at most 2 points of accuracy"
    never = "no reasonable number to tell whether its result is better"
    assert text(some) == f"Undecided with 3 seeds; {about} {cheap}, {never}."
    against = claim([0.10, -0.09, 0.03], [-0.02, -0.06, -0.03])  # the costs alone lean to no, and decide sooner
    result, costs = (question.seeds_needed for question in against.questions)
    assert against.seeds_needed == costs < result
    more = "more to tell whether its result is better"
    assert text(against) == f"Undecided with 3 seeds; about {costs} would do {cheap}, {more}."
    even = compare_images(np.zeros(10), np.zeros(10))
    few = compare_images(np.random.default_rng(0).normal(0.1, 0.3, 10), np.zeros(10))
    mixed = claim(BETTER, [-0.001, 0.03, -0.035], images=(few, even))
    images = "there are too few images to tell whether its result is better"
    assert text(mixed) == f"Undecided with 3 seeds; {about} {cheap}; {images}."


def test_images_must_agree_with_seeds():
    rng = np.random.default_rng(0)
    many, few = (compare_images(rng.normal(0.1, 0.3, n), np.zeros(n)) for n in (2000, 10))
    even = compare_images(rng.normal(0.0, 0.01, 500), np.zeros(500))
    assert claim(BETTER, CHEAP, images=(many, even)).verdict == "yes"
    assert text(claim(BETTER, CHEAP, images=(many, even))) == "Yes, over 3 seeds and 500 images."
    unsure = claim(BETTER, CHEAP, images=(few, even))
    assert unsure.verdict == "undecided" and unsure.undecided_by_images and unsure.seeds_needed is None
    few_images = "Undecided: 3 seeds would be enough, but there are too few images to tell whether its result is better"
    assert text(unsure) == f"{few_images}."


def test_the_p_value_is_of_the_threshold_and_not_of_zero():
    losses = [-0.005, -0.009, -0.004]
    by_result, by_accuracy = (question.p for question in claim(BETTER, losses).questions)
    assert by_result == pytest.approx(stats.ttest_1samp(BETTER, 0).pvalue)
    assert by_accuracy == pytest.approx(stats.ttest_1samp(losses, -0.02).pvalue)
    assert [question.p for question in claim([0.1], []).questions] == [None, None]


def test_without_a_budget_the_threshold_has_no_sign():
    judged = judge((paired_t(BETTER), None), (paired_t(CHEAP), None), higher=True, max_loss=0.0)
    assert f"{judged.accuracy.threshold:g}" == "0"


@pytest.mark.parametrize(
    ("worst", "verdict", "words"),
    [
        ([-0.01, -0.02, -0.015], "yes", "Yes, over 3 seeds."),
        ([-0.2, -0.21, -0.19], "no", "No: its constrained result is beyond the limit, over 3 seeds."),
        ([-0.2, 0.1, -0.05], "undecided", "to tell whether its constrained result is within the limit."),
    ],
)
def test_a_constrained_result_is_a_question_of_its_own(worst: list[float], verdict: str, words: str):
    def judged(values: list[float], higher: bool) -> Claim:
        kept = at_most_worse(paired_t(values), None, higher=higher, max_loss=0.05)
        return judge((paired_t(BETTER), None), (paired_t(CHEAP), None), higher=True, max_loss=0.02, constraint=kept)

    assert judged(worst, True).verdict == verdict and text(judged(worst, True)).endswith(words)
    # Where less is better, the opposite differences say the same
    opposite = judged([-value for value in worst], False)
    assert opposite.verdict == verdict and opposite.questions[2].threshold == 0.05
    assert judged(worst, True).seeds_needed == (None if verdict != "undecided" else paired_t(worst).seeds_needed(-0.05))
