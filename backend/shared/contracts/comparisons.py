"""Comparisons of runs: groups over seeds, the selected λ of each method, tests and claims."""

from typing import Any, Literal

from pydantic import Field

from densitylab.backend.shared.contracts.fields import Answer, EvaluationSplit

Verdict = Literal["yes", "no", "undecided"]


class SeedMean(Answer):
    """A mean over seeds with its 95 % interval."""

    mean: float = Field(description="mean over seeds")
    low: float | None = Field(description="lower end of the 95 % interval; null: one seed")
    high: float | None = Field(description="upper end of the 95 % interval; null: one seed")
    n: int = Field(description="number of seeds")


class SeedTest(Answer):
    """A mean difference over common seeds with its paired t test."""

    mean: float = Field(description="mean difference over seeds")
    low: float | None = Field(description="lower end of the 95 % interval; null: one seed")
    high: float | None = Field(description="upper end of the 95 % interval; null: one seed")
    n: int = Field(description="number of common seeds")
    p: float | None = Field(
        description="two-sided p value; null: one seed, or differences that are the same for all seeds"
    )
    effect_size: float | None = Field(
        description="mean / standard deviation of the differences (Cohen's d_z); null: p is null"
    )


class ImageTest(Answer):
    """A test between two runs on the same images: McNemar for right or wrong, a bootstrap stratified by group for the
    result of a worst group, else a paired bootstrap of the mean."""

    name: Literal["mcnemar", "bootstrap"] = Field(description="which test")
    difference: float = Field(description="first minus second, of means over the images or of the worst groups")
    low: float = Field(description="lower end of the bootstrap's 95 % interval")
    high: float = Field(description="upper end of the bootstrap's 95 % interval")
    n: int = Field(description="number of images with a value under both")
    p: float = Field(description="two-sided p value")
    only_first: int | None = Field(description="images right under the first alone; null: bootstrap")
    only_second: int | None = Field(description="images right under the second alone; null: bootstrap")


class ComparedGroup(Answer):
    """Runs that differ only in the seed; those with λ = 0 may differ in the regularizer, which they do not use."""

    runs: list[int] = Field(description="numbers of the runs")
    regularizer: str | None = Field(
        description="key of the regularizer; of a baseline that of one run; null: not known, of an imported model"
    )
    lambda_: float | None = Field(description="weight λ of the penalty; null: not known, of an imported model")
    settings: dict[str, Any] = Field(description="by dotted path: those in which the groups differ")
    baseline: int | None = Field(
        description="index in `groups` of the group that it is compared with; null: it is one, or has none"
    )
    best: bool = Field(
        description="whether its mean result is the best and apart from all others (paired t tests, Holm, 5 %)"
    )
    result: SeedMean | None = Field(description="the result; null: not evaluated")
    test_accuracy: SeedMean | None = Field(description="accuracy on test images; null: not evaluated")
    validation_accuracy: SeedMean | None = Field(description="accuracy on validation images; null: not known")


class GroupDifference(Answer):
    """The difference of a group from its baseline, with its test."""

    group: int = Field(description="index in `groups`")
    baseline: int = Field(description="index in `groups`")
    test: SeedTest = Field(description="paired t test by seed, group minus baseline")
    p_adjusted: float | None = Field(
        description="p value adjusted for all differences of the answer (Holm); null: not tested"
    )
    seeds_needed: int | None = Field(
        description="seeds that would find such a difference with probability 0.8; null: not known, or over 1000"
    )


class SelectedLambda(Answer):
    """The λ that is selected for a method: of those within the accuracy budget the one with the best mean result."""

    groups: list[int] = Field(description="indices in `groups` of the method's groups, in order of λ")
    baseline: int = Field(description="index in `groups` of its baseline")
    group: int | None = Field(description="index in `groups` of the selected one; null: none is within the budget")
    lambda_: float | None = Field(description="the selected λ; null: none is within the budget")
    edge: Literal["lowest", "highest", "only"] | None = Field(
        description="where the λ is an end of the candidates, so that one beyond may be better; null: it is none"
    )
    candidates: int = Field(description="number of λ whose accuracy and result are known over enough seeds")
    few_seeds: list[int] = Field(
        default_factory=list,
        description="indices in `groups` of λ that are no candidates, since they have fewer than three seeds and "
        "another λ of the method has more",
    )
    within_budget: int = Field(
        description="number of them within the accuracy budget, and within the limit of the second result"
    )
    accuracy_split: EvaluationSplit = Field(description="images on which accuracies were compared with the budget")
    result_split: EvaluationSplit = Field(description="images on which results were compared")
    baseline_accuracy: SeedMean = Field(description="accuracy of the baseline on `accuracy_split`")
    accuracy: SeedMean | None = Field(description="accuracy of the selected group on `accuracy_split`")
    loss: float | None = Field(description="the baseline's accuracy minus the group's; negative: a gain")
    selected_by: SeedMean | None = Field(description="the result on `result_split`")
    result: SeedMean | None = Field(description="the result on test images")
    test_accuracy: SeedMean | None = Field(description="accuracy on test images")
    constraint_split: EvaluationSplit | None = Field(
        default=None, description="images on which second results were compared; null: there is none"
    )
    baseline_constraint: SeedMean | None = Field(
        default=None, description="second result of the baseline on `constraint_split`; null: there is none"
    )
    constraint: SeedMean | None = Field(
        default=None, description="second result of the selected group on `constraint_split`; null: there is none"
    )


class DifferingCondition(Answer):
    """A condition beside the specs that has several values among the compared runs."""

    condition: str = Field(description="device or precision of the training, device or version of an evaluation")
    runs: dict[str, list[int]] = Field(description="numbers of the runs by value")


class RunComparison(Answer):
    """Groups of runs compared by one result: means, tests, and the selected λ of each method."""

    result: str = Field(description="`<evaluation name>.<value name>`")
    evaluation: str = Field(description="key of the evaluation")
    params: dict[str, Any] = Field(description="its parameters")
    data_hash: str = Field(description="hash of the data")
    higher_is_better: bool = Field(description="whether a higher result is better")
    accuracy_budget: float = Field(description="largest loss of accuracy against the baseline")
    constraint_result: str | None = Field(
        default=None, description="a second result that λ may make worse by `constraint_budget`; null: there is none"
    )
    constraint_budget: float = Field(default=0.0, description="by how much λ may make the second result worse")
    groups: list[ComparedGroup] = Field(description="in order of regularizer and λ, baselines first")
    differences: list[GroupDifference] = Field(description="of each group from its baseline")
    selection: list[SelectedLambda] = Field(description="one per method; variants of a method are methods of their own")
    selection_text: str = Field(description="how and on which images the λ were selected, in sentences")
    differing_conditions: list[DifferingCondition] = Field(
        default_factory=list,
        description="conditions in which the runs with this result, or with an accuracy, differ; those that are not "
        "known of a run differ from nothing",
    )
    conditions_text: str = Field(default="", description="the same in a sentence; empty: none")
    repeated_trainings: list[list[int]] = Field(
        default_factory=list,
        description="runs with the same settings and seed, hence one training: only the newest with a result counts",
    )
    repeated_text: str = Field(default="", description="the same in a sentence; empty: none")


class ClaimQuestion(Answer):
    """One of the questions of a claim, with its tests of first minus second."""

    question: Literal["result", "accuracy", "constraint"] = Field(
        description="result: whether it is better; accuracy: whether the loss is within the budget; constraint: "
        "whether the second result is at most `constraint_budget` worse"
    )
    verdict: Verdict = Field(description="decided if the intervals over seeds and over images lie on the same side")
    threshold: float = Field(description="difference that both intervals must not contain")
    p: float | None = Field(
        default=None,
        description="two-sided p value of the paired t test that the difference is the threshold; null: not tested",
    )
    seeds_needed: int | None = Field(
        default=None,
        description="seeds that would decide this question by itself with probability 0.8; null: decided over seeds, "
        "not known, or over 1000",
    )
    seeds: SeedTest | None = Field(description="paired t test by seed; null: no common seed")
    images: ImageTest | None = Field(
        description="test of the means over seeds on the same images; null: no values per image are stored"
    )


class ClaimFlag(Answer):
    """A warning about runs or evaluations behind a claim."""

    key: str = Field(description="short name of the warning")
    text: str = Field(description="the warning, a sentence")
    runs: list[int] = Field(description="numbers of the runs that carry it")


class Claim(Answer):
    """Claim that the first group has a better result than the second at no more than a stated loss of accuracy, and of
    a second result if one is named."""

    verdict: Verdict = Field(description="yes: all questions; no: one of them is answered with no")
    text: str = Field(description="the answer, a sentence")
    result: str = Field(description="`<evaluation name>.<value name>`")
    higher_is_better: bool = Field(description="whether a higher result is better")
    accuracy_budget: float = Field(description="largest loss of test accuracy")
    constraint_result: str | None = Field(
        default=None, description="a second result that may be worse by `constraint_budget`; null: there is none"
    )
    constraint_budget: float = Field(default=0.0, description="by how much the second result may be worse")
    questions: list[ClaimQuestion] = Field(
        description="about the result, about the accuracy, and about the second result if there is one"
    )
    seeds: int = Field(description="number of common seeds")
    seeds_needed: int | None = Field(
        description="seeds that would decide it with probability 0.8; null: decided, not known, or over 1000"
    )
    flags: list[ClaimFlag] = Field(description="warnings of the runs and of the evaluations that it rests on")


class ImageComparison(Answer):
    """Two runs compared by one result on the same images."""

    first: int = Field(description="number of the first run")
    second: int = Field(description="number of the second run")
    result: str = Field(description="`<evaluation name>.<value name>`")
    test: ImageTest = Field(description="first minus second")
