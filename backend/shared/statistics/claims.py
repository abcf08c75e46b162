"""The claim that one method has a better result than another at no more than a stated loss of accuracy, and of a
second result if one is named."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from densitylab.backend.shared.statistics.paired_tests import ImageTest, PairedTest

Verdict = Literal["yes", "no", "undecided"]


@dataclass(frozen=True)
class Question:
    """One half of a claim: whether a difference, first minus second, lies beyond a threshold.

    Over seeds it is decided by the 95 % interval of the paired t test, over images by that of the bootstrap of the mean
    over seeds. Both must agree, so a half is decided wrongly with a probability of at most 2.5 %.
    """

    seeds: PairedTest | None  # None: no common seed
    images: ImageTest | None  # None: no values per image
    threshold: float
    higher: bool  # whether "yes" means above the threshold

    @property
    def verdict(self) -> Verdict:
        by_seeds = self.verdict_over_seeds
        if self.images is None:
            return by_seeds
        by_images = self._side(self.images.low, self.images.high)
        return by_seeds if by_seeds == by_images else "undecided"

    @property
    def verdict_over_seeds(self) -> Verdict:
        test = self.seeds
        if test is None or test.p is None or test.low is None or test.high is None:
            return "undecided"
        return self._side(test.low, test.high)

    def _side(self, low: float, high: float) -> Verdict:
        if low > self.threshold or high < self.threshold:
            return "yes" if (low > self.threshold) == self.higher else "no"
        return "undecided"

    @property
    def p(self) -> float | None:
        """The two-sided p value of the paired t test of whether the difference is the threshold; None: not tested."""
        return None if self.seeds is None else self.seeds.p_against(self.threshold)

    @property
    def leaning(self) -> Verdict:
        """The verdict that the mean alone would give."""
        return "undecided" if self.seeds is None else self._side(self.seeds.mean, self.seeds.mean)

    @property
    def seeds_needed(self) -> int | None:
        """Seeds that would decide it; None: not known, or too many."""
        return self.seeds.seeds_needed(self.threshold) if self.seeds else None


@dataclass(frozen=True)
class Claim:
    """The answer to "the first has a better result than the second at no more than `max_loss` of accuracy".

    Yes needs a yes to all questions, no a no to one of them. If both methods have the same result, yes is wrong with a
    probability of at most 2.5 %, and so it is if the loss is just over the budget.
    """

    result: Question
    accuracy: Question
    constraint: Question | None = None  # whether a second result is at most so much worse; None: not asked

    @property
    def questions(self) -> tuple[Question, ...]:
        return self.result, self.accuracy, *((self.constraint,) if self.constraint else ())

    @property
    def verdict(self) -> Verdict:
        verdicts = [question.verdict for question in self.questions]
        return "no" if "no" in verdicts else "yes" if set(verdicts) == {"yes"} else "undecided"

    @property
    def seeds(self) -> int:
        """The number of seeds that both methods have."""
        return min((question.seeds.n if question.seeds else 0) for question in self.questions)

    @property
    def seeds_needed(self) -> int | None:
        """Return the seeds that would decide it with probability 0.8 if means and spreads stayed as they are.

        None: it is decided over seeds, or fewer than two seeds are known, or too many would be needed.
        """
        if self.verdict != "undecided" or self.undecided_by_images:
            return None
        against = [question.seeds_needed for question in self.questions if question.leaning == "no"]
        if against:  # one no is enough
            return min((needed for needed in against if needed is not None), default=None)
        unanswered = [question for question in self.questions if question.verdict_over_seeds == "undecided"]
        known = [needed for question in unanswered if (needed := question.seeds_needed) is not None]
        return max(known) if len(known) == len(unanswered) else None

    @property
    def undecided_by_images(self) -> bool:
        """Return True if the seeds decide it and the images do not."""
        over_seeds = [question.verdict_over_seeds for question in self.questions]
        return self.verdict == "undecided" and ("no" in over_seeds or set(over_seeds) == {"yes"})


def judge(
    result: tuple[PairedTest | None, ImageTest | None],
    accuracy: tuple[PairedTest | None, ImageTest | None],
    *,
    higher: bool,
    max_loss: float,
    constraint: Question | None = None,
) -> Claim:
    """Return the claim with its answer.

    Args:
        result: tests of the result, first minus second, over seeds and over images.
        accuracy: those of the test accuracy.
        higher: whether more of the result is better.
        max_loss: the accuracy budget, 0 to 1.
        constraint: whether a second result is within its limit, see `at_most_worse`; None: not asked.
    """
    by_result = Question(*result, threshold=0.0, higher=higher)
    return Claim(by_result, at_most_worse(*accuracy, higher=True, max_loss=max_loss), constraint)


def at_most_worse(seeds: PairedTest | None, images: ImageTest | None, *, higher: bool, max_loss: float) -> Question:
    """Return the question whether a result is at most `max_loss` worse.

    Args:
        seeds: test of the result, first minus second, over seeds.
        images: the same over images.
        higher: whether more of the result is better.
        max_loss: at least 0, in the unit of the result.
    """
    return Question(seeds, images, threshold=0.0 - max_loss if higher else max_loss, higher=higher)


def claim_text(claim: Claim, *, max_loss: float) -> str:
    """Return the answer as a sentence."""
    seeds = f"{claim.seeds} seed{'' if claim.seeds == 1 else 's'}"
    if claim.verdict == "yes":
        return f"Yes, over {seeds}{_images(claim.questions)}."
    if claim.verdict == "no":
        return f"No: {' and '.join(_halves(claim, max_loss, 'no'))}, over {seeds}{_images(claim.questions)}."
    if claim.undecided_by_images:
        return (
            f"Undecided: {seeds} would be enough, but there are too few images to tell {_few_images(claim, max_loss)}."
        )
    if claim.seeds < 2:
        return f"Undecided with {seeds} in common: one seed says nothing about another; at least 2 are needed."
    if any(question.seeds is not None and question.seeds.p is None for question in claim.questions):
        return f"Undecided with {seeds}: a difference is the same for all of them, which a t test cannot judge."
    settled = "".join(f"{half[0].upper()}{half[1:]}. " for half in _halves(claim, max_loss, "yes"))
    return f"{settled}Undecided with {seeds}{_needed(claim, max_loss)}."


def _needed(claim: Claim, max_loss: float) -> str:
    """Return the end of a sentence: how many seeds would decide which questions, and for which there are too few
    images."""
    by_seeds = {question: question.seeds_needed for question in claim.questions if _open_over_seeds(question)}
    known = [needed for needed in by_seeds.values() if needed is not None]
    enough = max(known, default=0) if claim.seeds_needed is None else claim.seeds_needed
    sooner = [question for question, needed in by_seeds.items() if needed is not None and needed <= enough]
    later = [question for question in by_seeds if question not in sooner]
    parts = []
    if sooner:
        parts.append(f"; about {enough} would do to tell {_asked(claim, max_loss, sooner)}")
    if later:
        more = "more" if all(by_seeds[question] is not None for question in later) else "no reasonable number"
        how = f", {more} to tell" if sooner else ": no reasonable number of seeds would do to tell"
        parts.append(f"{how} {_asked(claim, max_loss, later)}")
    if few := _few_images(claim, max_loss):
        parts.append(f"; there are too few images to tell {few}")
    return "".join(parts)


def _open_over_seeds(question: Question) -> bool:
    return question.verdict == question.verdict_over_seeds == "undecided"


def _few_images(claim: Claim, max_loss: float) -> str:
    """Return the questions that the seeds decide and the images do not."""
    few = [item for item in claim.questions if item.verdict == "undecided" and not _open_over_seeds(item)]
    return _asked(claim, max_loss, few)


def _asked(claim: Claim, max_loss: float, questions: Sequence[Question]) -> str:
    clauses = _clauses(claim, max_loss, no=False)
    return " and ".join(f"whether {clause}" for question, clause in clauses if question in questions)


def _halves(claim: Claim, max_loss: float, verdict: Verdict) -> list[str]:
    """Return what holds, as clauses, of the questions with this verdict."""
    return [clause for question, clause in _clauses(claim, max_loss, no=verdict == "no") if question.verdict == verdict]


def _clauses(claim: Claim, max_loss: float, *, no: bool) -> list[tuple[Question, str]]:
    """Return each question with what a no to it says, or a yes."""
    clauses = (
        f"its result is {'worse' if no else 'better'}",
        f"it costs {'more than' if no else 'at most'} {100 * max_loss:g} points of accuracy",
        f"its constrained result is {'beyond' if no else 'within'} the limit",
    )
    return list(zip(claim.questions, clauses, strict=False))


def _images(questions: Sequence[Question]) -> str:
    counts = [question.images.n for question in questions if question.images]
    return f" and {min(counts):,} images" if len(counts) == len(questions) else ""
