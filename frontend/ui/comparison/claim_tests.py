"""The tests of a claim as a table, with the warnings of its runs."""

import pandas as pd
import streamlit as st

from densitylab.backend.shared.contracts.comparisons import Claim, ClaimQuestion
from densitylab.backend.shared.statistics.estimates import Estimate
from densitylab.frontend.analysis.comparison import text
from densitylab.frontend.analysis.formatting import escaped, fixed, runs_text
from densitylab.frontend.ui.wrapped_table import wrapped_table


def budget_text(accuracy_budget: float) -> str:
    """Return the accuracy budget (0 to 1) in words."""
    return f"{100 * accuracy_budget:g} points of accuracy"


def show_claim_tests(claim: Claim, result: str, constraint: str = "") -> None:
    """Draw a row for each question of the claim, and its warnings.

    Args:
        claim: the API's answer.
        result: the result in words.
        constraint: the second result in words; "": the claim has none.
    """
    words = {
        "result": f"better than B: {result}",
        "accuracy": f"costs at most {budget_text(claim.accuracy_budget)}",
        "constraint": f"at most {100 * claim.constraint_budget:g} points worse than B: {constraint}",
    }
    wrapped_table(pd.DataFrame([_row(question, words[question.question]) for question in claim.questions]))
    for flag in claim.flags:
        st.warning(f"{escaped(flag.text)} {runs_text(flag.runs).capitalize()}.", icon=":material/warning:")


def _row(question: ClaimQuestion, words: str) -> dict[str, str]:
    seeds, images = question.seeds, question.images
    return {
        "question": words,
        "answer": question.verdict,
        "difference": text(Estimate(seeds.mean, seeds.low, seeds.high, seeds.n), signed=True) if seeds else "—",
        "threshold": f"{question.threshold:g}",
        "p (t test)": "—" if question.p is None else f"{question.p:.2g}",
        "effect size": "—" if seeds is None or seeds.effect_size is None else fixed(seeds.effect_size, 2),
        "seeds": str(seeds.n) if seeds else "0",
        "seeds to decide": "" if question.seeds_needed is None else f"about {question.seeds_needed}",
        "over images": "—"
        if images is None
        else text(Estimate(images.difference, images.low, images.high, images.n), signed=True),
        "images": "—" if images is None else f"{images.n:,}",
    }
