"""The sentences of a comparison say no more than the tests allow."""

import pytest

from densitylab.backend.shared.contracts import Run, Value
from densitylab.frontend.analysis.comparison import compare
from densitylab.frontend.analysis.selection_rule import SelectionRule, select_lambda
from densitylab.frontend.analysis.summary import correction_text, same_difference_text, star_text, summary_sentences
from densitylab.frontend.analysis.tables import BEST, numbers, selections, summary
from tests.frontend.analysis.test_comparison import NO_CATALOG, make_run


def runs(values: dict[float, list[float]], result: str = "accuracy.accuracy") -> list[Run]:
    """By λ the result of each seed; λ = 0 is the baseline."""
    return [
        make_run("a", lambda_, seed, results={result: value})
        for lambda_, by_seed in values.items()
        for seed, value in enumerate(by_seed)
    ]


def sentence(found: list[Run]) -> str:
    comparison = compare(found, NO_CATALOG)
    ((_, words),) = summary_sentences(comparison, comparison.columns, NO_CATALOG)
    return words


BASE = [0.50, 0.51, 0.52, 0.53]


def test_a_difference_that_the_seeds_establish_is_named_with_its_interval():
    words = sentence(runs({0: BASE, 1: [value + 0.2 + 0.001 * index for index, value in enumerate(BASE)]}))
    assert words.startswith("better than the baseline: λ 1 (+0.2015 ±") and words.endswith("4 seeds).")


def test_the_direction_of_the_result_decides_what_is_better():
    higher = [value + 0.2 + 0.001 * index for index, value in enumerate(BASE)]
    assert sentence(runs({0: BASE, 1: higher}, "leakage.share")).startswith("worse than the baseline: λ 1")
    assert sentence(runs({0: higher, 1: BASE}, "leakage.share")).startswith("better than the baseline: λ 1 (-0.2015")


def test_noise_is_not_called_a_difference():
    words = sentence(runs({0: BASE, 1: [0.60, 0.41, 0.65, 0.40]}))
    assert words.startswith("no difference from the baseline is established with 4 seeds. The clearest is ")
    assert "(λ 1)" in words and "better than" not in words


def test_a_difference_that_the_correction_takes_back_is_said_to_be_one_of_several_tests():
    apart = [value + 0.05 + step for value, step in zip(BASE, (0.0, 0.03, -0.02, 0.02), strict=True)]
    noise = {lambda_: [0.60, 0.41, 0.65, 0.40] for lambda_ in (0.1, 0.2, 0.3, 0.4)}
    alone, among = sentence(runs({0: BASE, 1: apart})), sentence(runs({0: BASE, **noise, 1: apart}))
    assert alone.startswith("better than the baseline: λ 1") and "tests" not in alone
    assert among.startswith("no difference from the baseline is established")
    assert among.endswith("On its own it is apart from 0, but not as one of 5 tests (Holm).")


def test_the_clearest_difference_is_named_with_its_side_and_not_the_largest():
    noisy_loss = [value - step for value, step in zip(BASE, (0.2, 0.0, 0.3, -0.1), strict=True)]
    small_gain = [value + step for value, step in zip(BASE, (0.020, 0.002, 0.012, 0.001), strict=True)]
    words = sentence(runs({0: BASE, 1: small_gain, 10: noisy_loss}))
    assert "The clearest is +0.009 ± 0.014, towards better (λ 1)" in words
    worse = sentence(runs({0: BASE, 1: small_gain}, "leakage.share"))
    assert ", towards worse (λ 1)" in worse


def test_the_clearest_gain_stands_beside_a_clearer_loss():
    loss = [value - step for value, step in zip(BASE, (0.020, 0.002, 0.012, 0.001), strict=True)]
    gain = [value + step for value, step in zip(BASE, (0.2, 0.0, 0.3, -0.1), strict=True)]
    words = sentence(runs({0: BASE, 1: loss, 10: gain}))
    assert "The clearest is -0.009 ± 0.014, towards worse (λ 1)" in words
    assert words.endswith("Towards better the clearest is +0.10 ± 0.29 (λ 10).")
    assert "Towards better" not in sentence(runs({0: BASE, 1: [2 * value for value in loss], 10: gain}))


def test_of_differences_that_cannot_be_tested_yet_the_largest_is_the_clearest():
    comparison = compare(runs({0: [0.5], 1: [0.7], 10: [0.2], 100: [0.6]}), NO_CATALOG)
    ((_, words),) = summary_sentences(comparison, comparison.columns, NO_CATALOG, preliminary=True)
    assert "-0.300, towards worse (λ 10, 1 seed)" in words


def test_groups_that_are_not_told_apart_are_counted():
    clear = [value + 0.2 + 0.001 * index for index, value in enumerate(BASE)]
    words = sentence(runs({0: BASE, 0.1: [0.60, 0.41, 0.65, 0.40], 1: clear}))
    assert (
        "better than the baseline: λ 1 (" in words
        and "1 other group undecided; the clearest difference among them is" in words
    )
    assert words.endswith("(λ 0.1).")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({0: [0.5], 1: [0.9]}, "one seed in common with the baseline says nothing"),
        ({0: [0.5, 0.5], 1: [0.9, 0.9]}, "the same for all seeds, which a t test cannot judge"),
    ],
)
def test_what_cannot_be_tested_is_said(values, expected):
    assert expected in sentence(runs(values))


def test_without_a_baseline_no_best_is_claimed_from_noise():
    found = [
        make_run("none", 0, seed, model=model, results={"accuracy.accuracy": value})
        for model, values in (("mlp", (0.5, 0.9)), ("cnn", (0.9, 0.6)))
        for seed, value in enumerate(values)
    ]
    assert sentence(found) == "no group is established as the best."


def test_a_result_of_one_group_has_no_sentence():
    comparison = compare(runs({0: BASE}), NO_CATALOG)
    assert summary_sentences(comparison, comparison.columns, NO_CATALOG) == []


def test_results_with_the_same_sentence_stand_together():
    found = [
        make_run("a", lambda_, 0, results={"accuracy.accuracy": 0.5 + lambda_, "leakage.share": 0.5})
        for lambda_ in (0, 0.1)
    ]
    comparison = compare(found, NO_CATALOG)
    ((results, words),) = summary_sentences(comparison, comparison.columns, NO_CATALOG)
    assert results.count("; ") == 1 and words.startswith("one seed in common")


NOISY = [0.60, 0.41, 0.65, 0.40]
CLOSE = [value + 0.05 + step for value, step in zip(BASE, (0.0, 0.03, -0.02, 0.02), strict=True)]


def pgd_and_accuracy() -> list[Run]:
    """PGD accuracy differs at λ 1 on its own, and not as one of six tests."""
    return [
        make_run(
            "a",
            lambda_,
            seed,
            validation=0.9,
            results={"accuracy.accuracy": 0.9 + lambda_ * (noise - 0.5) / 100, "pgd_linf.accuracy": pgd},
        )
        for lambda_, by_seed in ((0, BASE), (0.1, NOISY), (0.2, NOISY), (1, CLOSE))
        for seed, (pgd, noise) in enumerate(zip(by_seed, NOISY, strict=True))
    ]


def test_table_selection_sentence_and_claim_say_the_same_of_a_difference():
    comparison = compare(pgd_and_accuracy(), NO_CATALOG)
    columns = [column for column in comparison.columns if not column.result.startswith("leakage")]
    pgd = next(column for column in columns if column.result == "pgd_linf.accuracy")
    sentences = dict(summary_sentences(comparison, columns, NO_CATALOG))
    words = next(text for label, text in sentences.items() if "pgd" in label)
    assert words.startswith("no difference from the baseline is established") and "not as one of 6 tests" in words
    rows = select_lambda(comparison, SelectionRule(pgd))
    (row,) = selections(rows, comparison, pgd, NO_CATALOG, shown=columns).to_dict("records")
    number = next(
        item
        for item in numbers(comparison, comparison.columns, NO_CATALOG, tested=columns)
        if item["lambda_"] == 1 and item["result"] == pgd.result
    )
    assert row["λ"] == "1" and f"{number['difference_p_adjusted']:.2g}" == row["p (Holm)"]
    assert number["difference_p"] < 0.05 < number["difference_p_adjusted"]
    first, second = comparison.groups[3], comparison.groups[0]
    claimed = same_difference_text(comparison, columns, pgd, first, second)
    assert claimed == same_difference_text(comparison, columns, pgd, second, first)
    assert f"undecided; {row['seeds to decide']} seeds would tell it from 0" in claimed
    assert f"about {number['difference_seeds_needed']}" == row["seeds to decide"] and "6 tests" in claimed
    assert same_difference_text(comparison, columns, pgd, first, comparison.groups[1]) == ""
    assert "over the 6 tests of all groups" in correction_text(comparison, columns)
    assert correction_text(compare(pgd_and_accuracy()[:4], NO_CATALOG), columns) == ""


def test_no_star_stands_beside_an_undecided_difference():
    found = runs({0: BASE, 1: CLOSE})
    for run in found:  # results without a direction, which have no best mean, but differences
        for number in range(5):
            value = Value(value=NOISY[(run.spec.seed + number * int(run.spec.lambda_)) % 4], n=100)
            run.results[f"accuracy.other_{number}"] = value
    comparison = compare(found, NO_CATALOG)
    columns = comparison.columns
    sentences = summary_sentences(comparison, columns, NO_CATALOG)
    assert any("On its own it is apart from 0" in words for _, words in sentences)
    assert BEST.strip() not in summary(comparison, columns, NO_CATALOG).to_csv()
    assert BEST.strip() in summary(comparison, columns[:1], NO_CATALOG).to_csv()  # alone it is established
    assert "never where a difference from a baseline is undecided" in star_text(comparison, columns)


def test_a_difference_that_is_established_is_apart_for_the_claim_too():
    comparison = compare(
        runs({0: BASE, 1: [value + 0.2 + 0.001 * index for index, value in enumerate(BASE)]}), NO_CATALOG
    )
    (column,) = comparison.columns
    claimed = same_difference_text(comparison, [column], column, comparison.groups[1], comparison.groups[0])
    assert claimed == (
        "This is one claim by itself; as one of the 1 test of this page (Holm) the difference in the result is "
        "apart from 0."
    )
