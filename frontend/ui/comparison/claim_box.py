"""The claim that one group has a better result than another at no more than a loss of accuracy."""

from collections.abc import Sequence

import streamlit as st

from densitylab.backend.shared.contracts.comparisons import Claim
from densitylab.backend.shared.statistics.groups import Column, Group, mean_over_seeds
from densitylab.frontend.analysis.comparison import Comparison, short_label
from densitylab.frontend.analysis.formatting import escaped
from densitylab.frontend.analysis.selection_rule import SelectionRule, constraint_text
from densitylab.frontend.analysis.summary import same_difference_text
from densitylab.frontend.ui.api import api, caller, catalog, show_api_errors
from densitylab.frontend.ui.comparison.claim_tests import budget_text, show_claim_tests
from densitylab.frontend.ui.comparison.live_choice import chosen_option, live_choice

_SHOWN = {"yes": st.success, "no": st.error, "undecided": st.info}


def show_claim(
    comparison: Comparison, columns: Sequence[Column], rule: SelectionRule, *, best: Group | None = None
) -> None:
    """Draw the choice of two groups and the answer with its tests.

    Args:
        comparison: the groups.
        columns: the results of the page, whose tests are corrected together.
        rule: the result that is claimed to be better, the accuracy budget, and the limit of a second result.
        best: the group that the claim is about before another one is chosen.
    """
    column = rule.result
    known = {
        label: group
        for label, group in zip(comparison.labels, comparison.groups, strict=True)
        if mean_over_seeds(group, column)
    }
    if len(known) < 2:
        return
    st.header("Claim")
    left, right = st.columns(2)
    labels = list(known)
    baselines = [label for label, group in known.items() if comparison.is_baseline(group)]
    a = next((label for label, group in known.items() if group is best), None)
    firsts = [*([a] if a else []), *(label for label in labels if label not in baselines), *labels]
    taken = chosen_option("second", labels)
    label = live_choice("Group A", labels, next(item for item in firsts if item != taken), key="first", cell=left)
    first = known[label]
    own = comparison.baselines[comparison.index_of(first)]
    seconds = sorted((item for item in labels if item != label), key=lambda item: known[item] is not own)
    second = known[live_choice("Group B", labels, seconds[0], key="second", cell=right)]
    if first is second:
        st.caption("Choose two groups.")
        return
    result = short_label(column, comparison, catalog())
    limits = f"{budget_text(rule.max_loss)}{constraint_text(rule, comparison, catalog())}"
    st.markdown(f"A has a better result than B ({escaped(result)}) at a cost of at most {escaped(limits)}.")
    constraint = short_label(rule.constraint, comparison, catalog()) if rule.constraint else ""
    with show_api_errors():
        claim = _claim(caller(), comparison.fingerprint, _ids(first), _ids(second), rule)
        corrected = same_difference_text(comparison, columns, column, first, second)
        _SHOWN[claim.verdict](f"{claim.text} {corrected}".rstrip())
        show_claim_tests(claim, result, constraint)
        st.caption(
            "Difference: A − B, mean over common seeds with the 95 % interval of the paired t test; over images: means "
            "over seeds with the bootstrap's interval. A question is answered where both intervals lie on one side of "
            "the threshold, so yes is wrong with a probability of at most 2.5 %. That holds for one claim that was "
            "chosen before its results were seen: neither the answer nor its number of seeds is corrected for the "
            "other tests of this page."
        )


@st.cache_data(max_entries=50, show_spinner=False)
def _claim(caller: str, fingerprint: str, first: list[int], second: list[int], rule: SelectionRule) -> Claim:
    """Return the API's answer, kept until a result of the comparison changes."""
    return api().claim(
        first,
        second,
        rule.result.result,
        accuracy_budget=rule.max_loss,
        constraint_result=rule.constraint.result if rule.constraint else None,
        constraint_budget=rule.constraint_loss,
    )


def _ids(group: Group) -> list[int]:
    return [run.id for run in group.runs]
